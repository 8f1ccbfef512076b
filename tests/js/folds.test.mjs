import assert from "node:assert/strict";
import { test } from "node:test";

import { Folds } from "../../static/js/log/folds.js";

function makeFolds(total, groups) {
  const folds = new Folds();
  folds.setTotal(total);
  folds.setGroups(groups, { folds: true });
  return folds;
}

const group = (a, b, more = {}) => ({ a, b, title: `${a}`, ms: 0, ...more });

test("without folded groups every line is a row", () => {
  const folds = makeFolds(10, [group(2, 5)]);

  assert.equal(folds.rowCount, 10);
  assert.deepEqual([0, 5, 9].map((row) => folds.lineOf(row)), [0, 5, 9]);
});

test("a folded group leaves its head, and the lines behind it move up", () => {
  const folds = makeFolds(10, [group(2, 5, { fold: true })]);

  assert.equal(folds.rowCount, 7);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map((row) => folds.lineOf(row)), [0, 1, 2, 6, 7, 8, 9]);
  assert.deepEqual([2, 3, 5, 6, 9].map((line) => folds.rowOf(line)), [2, 2, 2, 3, 6]);
});

test("rows and lines are each other's inverse with many folded groups", () => {
  const groups = Array.from({ length: 100 }, (_, at) => group(at * 10 + 1, at * 10 + 7, { fold: at % 3 > 0 }));
  const folds = makeFolds(1005, groups);

  for (let row = 0; row < folds.rowCount; row++) assert.equal(folds.rowOf(folds.lineOf(row)), row);
  assert.equal(folds.lineOf(folds.rowCount - 1), 1004);
});

test("a group inside a folded one hides nothing twice", () => {
  const folds = makeFolds(20, [group(2, 15, { fold: true }), group(5, 9, { fold: true })]);

  assert.equal(folds.rowCount, 7);
  assert.equal(folds.lineOf(3), 16);
});

test("an open-ended group that is folded hides what is still to come", () => {
  const folds = makeFolds(10, [group(4, 1e9, { fold: true })]);
  folds.setTotal(100);

  assert.equal(folds.rowCount, 5);
});

test("when the outline comes again, nothing that is open folds by itself", () => {
  const groups = [group(2, 5, { fold: true }), group(7, 8, { fold: true })];
  const folds = makeFolds(20, groups);
  folds.toggle(2);
  folds.setGroups([...groups, group(10, 15, { fold: true })], { folds: false });

  assert.deepEqual([2, 7, 10].map((head) => folds.isFolded(head)), [false, true, false]);
});

test("a line that is asked for is revealed, with all the groups around it", () => {
  const folds = makeFolds(20, [group(2, 15, { fold: true }), group(5, 9, { fold: true }), group(17, 18, { fold: true })]);

  assert.equal(folds.reveal(7), true);
  assert.equal(folds.reveal(7), false);
  assert.deepEqual([folds.rowOf(7), folds.isFolded(17)], [7, true]);
});

test("all are folded, then all are opened", () => {
  const folds = makeFolds(20, [group(2, 5), group(7, 9)]);
  folds.toggleAll();
  assert.equal(folds.rowCount, 15);
  folds.toggleAll();
  assert.equal(folds.rowCount, 20);
});

test("the group around a line is the innermost one, never the line's own", () => {
  const folds = makeFolds(20, [group(2, 15), group(5, 9)]);

  assert.deepEqual([1, 2, 5, 6, 12].map((line) => folds.groupAround(line)?.a), [undefined, undefined, 2, 5, 2]);
});
