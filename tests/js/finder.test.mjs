import assert from "node:assert/strict";
import { test } from "node:test";

import { Finder } from "../../static/js/log/finder.js";

const found = (lines, more = {}) => ({ lines, count: lines.length, truncated: false, total: 100, ...more });

// One that gives these answers in turn, and what it was asked for.
function answering(...answers) {
  const asked = [];
  const finder = new Finder(async (query, { from }) => {
    asked.push([query, from]);
    return answers.shift();
  });
  return { finder, asked };
}

test("hits are gone through from where the reader is, round and round", async () => {
  const finder = new Finder(async () => found([3, 50, 90]));
  assert.equal(await finder.start("x"), true);
  finder.standBefore(40);

  assert.deepEqual([1, 1, 1, -1, -1].map((step) => finder.step(step)), [50, 90, 3, 90, 50]);
});

test("behind the last hit the search begins again at the first", async () => {
  const finder = new Finder(async () => found([3, 50]));
  await finder.start("x");
  finder.standBefore(60);

  assert.equal(finder.step(1), 3);
});

test("a search that was overtaken changes nothing", async () => {
  const answers = [];
  const finder = new Finder(() => new Promise((resolve) => answers.push(resolve)));
  const first = finder.start("a");
  const second = finder.start("ab");
  answers[1](found([7]));
  answers[0](found([1, 2]));

  assert.deepEqual([await first, await second, finder.lines, finder.query], [false, true, [7], "ab"]);
});

test("what the server cannot answer is told", async () => {
  const finder = new Finder(async () => {
    throw new Error("503");
  });

  await assert.rejects(finder.start("a"), /503/);
});

test("of a log that grew only what is new is searched, and the reader stays at their hit", async () => {
  const { finder, asked } = answering(found([3, 50, 100]), found([101, 120], { total: 130 }), found([], { total: 140 }));
  await finder.start("x");
  finder.standBefore(40);
  finder.step(1);

  assert.deepEqual([await finder.grow(), finder.lines, finder.count], [true, [3, 50, 101, 120], 4]);
  assert.equal(finder.line, 50);
  assert.equal(await finder.grow(), false);
  assert.deepEqual(asked, [["x", 0], ["x", 100], ["x", 130]]);
});

test("a hit in a line that was written over is none any more", async () => {
  const { finder } = answering(found([100]), found([], { total: 101 }));
  await finder.start("x");
  finder.step(1);

  assert.deepEqual([await finder.grow(), finder.count, finder.line], [true, 0, undefined]);
});

test("where not all hits are named, nothing grows; of many more so many are named", async () => {
  const many = Array.from({ length: 9_999 }, (_, at) => at);
  const { finder } = answering(found([], { truncated: true }), found(many, { total: 9_999 }), found([10_000, 10_001]));
  await finder.start("x");
  assert.equal(finder.mayGrow, false);

  await finder.start("y");
  await finder.grow();
  assert.deepEqual([finder.count, finder.lines.length, finder.isCut, finder.mayGrow], [10_001, 10_000, true, false]);
});

test("hits of an earlier search are not added to those of a later one", async () => {
  const answers = [];
  const finder = new Finder(() => new Promise((resolve) => answers.push(resolve)));
  const first = finder.start("a");
  answers[0](found([7]));
  await first;
  const growing = finder.grow();
  const second = finder.start("b");
  answers[2](found([1]));
  await second;
  answers[1](found([200]));

  assert.deepEqual([await growing, finder.lines], [false, [1]]);
});
