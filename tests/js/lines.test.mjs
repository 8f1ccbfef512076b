import assert from "node:assert/strict";
import { test } from "node:test";

import { BLOCK_LINES, LineCache } from "../../static/js/log/lines.js";
import { withRest } from "../../static/js/log/source.js";

function makeCache(total, answerOf) {
  const asked = [];
  const events = [];
  const cache = new LineCache({
    fetchLines: async (from, count) => {
      asked.push([from, count]);
      return answerOf(from, count);
    },
    onLines: () => events.push("lines"),
    onFailure: () => events.push("failure"),
    onRetry: () => events.push("retry"),
  });
  cache.total = total;
  return { cache, asked, events };
}

const numbered = (total) => (from, count) => ({
  from,
  total,
  lines: Array.from({ length: Math.max(0, Math.min(count, total - from)) }, (_, at) => [at, `line ${from + at}`]),
});

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("lines that are looked at are fetched by whole blocks, once", async () => {
  const { cache, asked } = makeCache(10_000, numbered(10_000));
  cache.want([700, 701]);
  cache.want([702]);
  await settle();
  cache.want([999, 1000]);
  await settle();

  assert.deepEqual(asked, [
    [500, 500],
    [1000, 500],
  ]);
  assert.deepEqual([cache.text(700), cache.time(701), cache.text(2000)], ["line 700", 201, undefined]);
});

test("of a block that grew only what is new is fetched, and what changed stays until then", async () => {
  let total = 3;
  const { cache, asked } = makeCache(3, (from, count) => numbered(total)(from, count));
  cache.want([0]);
  await settle();
  total = 6;
  cache.total = 6;
  cache.change(2);

  assert.equal(cache.text(2), "line 2");
  cache.want([0]);
  await settle();
  assert.deepEqual(asked.at(-1), [2, 498]);
  assert.equal(cache.text(5), "line 5");
});

test("an answer that was overtaken by a change is asked for again", async () => {
  const { cache, asked } = makeCache(5, numbered(5));
  cache.want([0]);
  cache.change(3);
  await settle();
  cache.want([0]);
  await settle();

  assert.deepEqual(asked, [
    [0, 500],
    [3, 497],
  ]);
});

test("at most 32,000 lines are held, those that were looked at last", async () => {
  const { cache } = makeCache(1_000_000, numbered(1_000_000));
  for (let line = 0; line < 80 * BLOCK_LINES; line += BLOCK_LINES) {
    cache.want([0, line]);
    await settle();
  }

  assert.equal(cache.blocks.size, 64);
  assert.equal(cache.text(0), "line 0");
  assert.equal(cache.text(BLOCK_LINES), undefined);
});

test("a failure is told and tried again later, not at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let fails = true;
  const { cache, asked, events } = makeCache(10, (from, count) => {
    if (fails) throw new Error("away");
    return numbered(10)(from, count);
  });
  cache.want([0]);
  await settle();
  cache.want([0]);
  await settle();
  assert.deepEqual([asked.length, events], [1, ["failure"]]);

  fails = false;
  t.mock.timers.tick(1000);
  cache.want([0]);
  await settle();
  assert.deepEqual(events, ["failure", "retry", "lines"]);
  assert.equal(cache.text(9), "line 9");
});

test("lines that are cut are known, until they are whole", async () => {
  let cut = 1;
  const { cache } = makeCache(1, () => ({ from: 0, total: 1, lines: [[0, "x", cut]] }));
  cache.want([0]);
  await settle();
  assert.equal(cache.isCut(0), true);

  cut = undefined;
  cache.change(0);
  cache.want([0]);
  await settle();
  assert.equal(cache.isCut(0), false);
});

test("what follows the last line end is a line like the others", () => {
  const answer = { from: 8, total: 10, lines: [[0, "8"], [0, "9"]], rest: [5, "open"] };

  assert.deepEqual(withRest(answer), { from: 8, total: 11, lines: [...answer.lines, [5, "open"]] });
  assert.deepEqual(withRest({ ...answer, from: 11, lines: [] }), { from: 11, total: 11, lines: [] });
  assert.deepEqual(withRest({ ...answer, rest: null }), { from: 8, total: 10, lines: answer.lines });
});
