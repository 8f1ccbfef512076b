import assert from "node:assert/strict";
import { test } from "node:test";

import { clockTime, duration, elapsed, grouped, hashOfLines, linesOfHash } from "../../static/js/log/format.js";

test("times and numbers are written for people", () => {
  assert.deepEqual([0, 61_000, 3_723_900].map(elapsed), ["0:00", "1:01", "1:02:03"]);
  assert.deepEqual([850, 2_199, 552_000, 7_440_000].map(duration), ["850ms", "2.1s", "9m 12s", "2h 04m"]);
  assert.equal(duration(null), "");
  assert.equal(clockTime(1_768_544_067_000), "06:14:27");
  assert.equal(grouped(1234567), "1,234,567");
});

test("addresses of lines count from 1 and are taken in either order", () => {
  assert.deepEqual(linesOfHash("#L120"), [119, 119]);
  assert.deepEqual(linesOfHash("#L120-L180"), [119, 179]);
  assert.deepEqual(linesOfHash("#L180-120"), [119, 179]);
  for (const hash of ["", "#", "#L", "#L0", "#L-3", "#L1-L", "#l1", "#L1x", "#main", `#L${"9".repeat(16)}`]) {
    assert.equal(linesOfHash(hash), null, hash);
  }
  assert.deepEqual([hashOfLines(119, 119), hashOfLines(119, 179)], ["#L120", "#L120-L180"]);
});
