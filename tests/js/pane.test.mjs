import assert from "node:assert/strict";
import { test } from "node:test";

import { Pane } from "../../static/js/log/pane.js";

const HEIGHT = 400;

function makePane(rows, { wraps = false, heightOf = () => 20 } = {}) {
  const spacer = { style: {} };
  const scroller = {
    clientHeight: HEIGHT,
    clientWidth: 800,
    top: 0,
    get scrollTop() {
      return this.top;
    },
    set scrollTop(value) {
      this.top = Math.max(0, Math.min(value, parseFloat(spacer.style.height) - HEIGHT));
    },
  };
  const state = { rows };
  const pane = new Pane(scroller, spacer, { rowCount: () => state.rows, heightOf });
  pane.wraps = wraps;
  pane.layOut();
  return { pane, scroller, spacer, state };
}

test("in an ordinary log the scrollbar is exact", () => {
  const { pane, scroller } = makePane(1000);
  scroller.scrollTop = 1234;

  assert.equal(pane.followScrollbar(), 1234);
  assert.deepEqual([pane.row, pane.px], [61, 14]);
  assert.equal(pane.followScrollbar(), 0);
});

test("going to a row is not taken for the reader's scrolling", () => {
  const { pane } = makePane(1000);
  pane.goToRow(500, 0.25);

  assert.equal(pane.followScrollbar(), 0);
  assert.deepEqual([pane.row, pane.px], [495, 0]);
});

test("the spacer stays below the limits of browsers, and wheels still move by pixels", () => {
  const { pane, scroller, spacer } = makePane(1_000_000);
  pane.goToRow(765_431);
  const before = pane.row;
  scroller.scrollTop += 60;
  pane.followScrollbar();
  pane.stop();

  assert.equal(spacer.style.height, "15000000px");
  assert.equal(before, 765_431);
  assert.deepEqual([pane.row, pane.px], [765_434, 0]);
});

test("a drag of the scrollbar is a proportion, and its ends are the log's ends", () => {
  const { pane, scroller } = makePane(1_000_000);
  scroller.scrollTop = 15_000_000;
  pane.followScrollbar();
  assert.equal(pane.lastSeenRow(), 999_999);
  scroller.scrollTop = 0;
  pane.followScrollbar();
  pane.stop();

  assert.deepEqual([pane.row, pane.px], [0, 0]);
});

test("the view stays while the log grows", () => {
  for (const rows of [1000, 1_000_000]) {
    const { pane, state } = makePane(rows);
    pane.goToRow(600);
    state.rows += 5000;
    pane.layOut();
    pane.settle();
    assert.deepEqual([pane.row, pane.px, pane.followScrollbar()], [600, 0, 0]);
  }
});

test("at the end is known with and without wrapped lines", () => {
  const plain = makePane(1000).pane;
  assert.equal(plain.isAtEnd, false);
  plain.goToRow(1000);
  assert.equal(plain.isAtEnd, true);

  const { pane } = makePane(100, { wraps: true, heightOf: () => 60 });
  pane.goToRow(80);
  assert.equal(pane.isAtEnd, false);
  pane.pinEnd();
  assert.equal(pane.isAtEnd, true);
  assert.equal(pane.lastSeenRow(), 99);
});

test("a short log begins at its beginning", () => {
  const { pane } = makePane(3);
  pane.goToRow(3);

  assert.deepEqual([pane.row, pane.px, pane.rowsToDraw(), pane.isAtEnd], [0, 0, [0, 1, 2], true]);
});
