import assert from "node:assert/strict";
import { test } from "node:test";

import { Finder } from "../../static/js/log/finder.js";

const found = (lines, more = {}) => ({ lines, count: lines.length, truncated: false, ...more });

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
