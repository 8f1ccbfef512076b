import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const TICK_MS = 250;
const MODULE = readFileSync(new URL("../../static/js/poll.js", import.meta.url), "utf8");

// A page with one polled part and its sign, on a clock that stands until `pass`. What htmx does is done here: each
// ask becomes a request, which stays open until it is answered. The module has state, so each page runs its own.
function openPage(t, { pace = 2000 } = {}) {
  t.mock.timers.enable({ apis: ["setInterval", "Date"] });
  t.mock.method(Math, "random", () => 0.5); // no jitter
  const page = new EventTarget();
  const part = Object.assign(new EventTarget(), { dataset: { poll: String(pace) } });
  const sign = { dataset: {}, textContent: "" };
  Object.assign(page, {
    hidden: false,
    querySelectorAll: (selector) => (selector === "[data-poll]" ? [part] : [sign]),
  });
  const asked = [];
  let isOpen = false;
  part.addEventListener("bb:poll", () => {
    assert.equal(isOpen, false, "a second request beside the first");
    isOpen = true;
    asked.push(Date.now());
  });
  const tell = (name, detail) => page.dispatchEvent(new CustomEvent(name, { detail: { elt: part, ...detail } }));
  runInNewContext(MODULE, { document: page, setInterval, Date, Math, CustomEvent });
  return {
    part,
    sign,
    asked,
    tell,
    answer(successful = true) {
      isOpen = false;
      tell("htmx:afterRequest", { successful });
    },
    pass(milliseconds) {
      for (let passed = 0; passed < milliseconds; passed += TICK_MS) t.mock.timers.tick(TICK_MS);
    },
    show(isShown) {
      page.hidden = !isShown;
      page.dispatchEvent(new Event("visibilitychange"));
    },
  };
}

// When it asks, where each ask is answered at once in the same way.
function askAndAnswer({ asked, answer, pass }, milliseconds, successful) {
  for (let passed = 0; passed < milliseconds; passed += TICK_MS) {
    const before = asked.length;
    pass(TICK_MS);
    if (asked.length > before) answer(successful);
  }
}

const gapsOf = (times) => times.slice(1).map((time, at) => time - times[at]);

test("it asks at the pace of the part", (t) => {
  const page = openPage(t);
  askAndAnswer(page, 10_000, true);

  assert.deepEqual(gapsOf(page.asked), [2000, 2000, 2000]);
  assert.deepEqual([page.sign.dataset.state, page.sign.textContent], ["live", "Live"]);
});

test("the pace differs by up to a tenth from page to page", (t) => {
  for (const [chance, gap] of [[0, 9000], [0.999999, 11_000]]) {
    const page = openPage(t, { pace: 10_000 });
    Math.random.mock.mockImplementation(() => chance);
    askAndAnswer(page, 60_000, true);

    assert.equal(gapsOf(page.asked)[0], gap);
    t.mock.timers.reset();
    t.mock.restoreAll();
  }
});

test("one request at a time, and the next is counted from its end", (t) => {
  const page = openPage(t);
  page.pass(62_250);
  assert.equal(page.asked.length, 1);

  page.answer();
  page.pass(1750);
  assert.equal(page.asked.length, 1);
  page.pass(250);
  assert.deepEqual(gapsOf(page.asked), [62_000]);
});

test("failures wait longer each time, up to 30 seconds; the first answer ends that", (t) => {
  const page = openPage(t);
  askAndAnswer(page, 160_000, false);
  assert.deepEqual(gapsOf(page.asked), [4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  assert.equal(page.sign.dataset.state, "stale");

  page.asked.length = 0;
  askAndAnswer(page, 40_000, true);
  assert.deepEqual(gapsOf(page.asked).slice(0, 3), [2000, 2000, 2000]);
  assert.equal(page.sign.dataset.state, "live");
});

test("where it fails the page says of when it is", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.answer();
  page.pass(2000);
  page.answer(false);

  assert.equal(page.sign.textContent, "Reconnecting, as of 00:00:02 UTC");
});

test("a request that nobody answered is one failure, though it is told twice", (t) => {
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    const page = openPage(t);
    page.pass(2250);
    page.answer(false);
    page.tell(name);
    page.pass(3750);
    assert.equal(page.asked.length, 1);
    page.pass(250);

    assert.deepEqual(gapsOf(page.asked), [4000]);
    t.mock.timers.reset();
    t.mock.restoreAll();
  }
});

test("a pace longer than 30 seconds is kept where it fails", (t) => {
  const page = openPage(t, { pace: 60_000 });
  askAndAnswer(page, 200_000, false);

  assert.deepEqual(gapsOf(page.asked), [60_000, 60_000]);
});

test("an answer with pace 0 stops it", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.part.dataset.poll = "0";
  page.answer();
  page.pass(120_000);

  assert.equal(page.asked.length, 1);
});

test("an answer with another pace is followed, a shorter one at once", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.part.dataset.poll = "10000";
  page.answer();
  page.pass(10_000);
  page.answer();
  assert.deepEqual(gapsOf(page.asked), [10_000]);

  page.part.dataset.poll = "2000"; // by an answer to something else: a cancel, a retry
  page.pass(2250);
  assert.deepEqual(gapsOf(page.asked), [10_000, 2250]);
});

test("a hidden tab asks nothing, and what is due is asked as soon as it is shown", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.answer();
  page.show(false);
  page.pass(60_000);
  assert.equal(page.asked.length, 1);
  assert.deepEqual([page.sign.dataset.state, page.sign.textContent], ["paused", "Paused"]);

  page.show(true);

  assert.deepEqual(gapsOf(page.asked), [60_000]);
  assert.equal(page.sign.textContent, "Live");
});

test("a tab that was hidden for a moment waits until the part is due", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.answer();
  page.show(false);
  page.pass(1000);
  page.show(true);
  assert.equal(page.asked.length, 1);

  page.pass(1000);
  assert.deepEqual(gapsOf(page.asked), [2000]);
});

test("what was asked before the tab was hidden is not asked again when it is shown", (t) => {
  const page = openPage(t);
  page.pass(2250);
  page.show(false);
  page.pass(60_000);
  page.show(true);
  page.pass(1000);

  assert.equal(page.asked.length, 1);
});

test("a request of something else changes nothing", (t) => {
  const page = openPage(t);
  page.pass(1000);
  page.answer(); // of a form in the part, before its first poll
  page.pass(1250);

  assert.deepEqual(page.asked, [2250]);
});
