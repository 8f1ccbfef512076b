import assert from "node:assert/strict";
import { test } from "node:test";

import { plainText, sgrSpans } from "../../static/js/ansi.js";

test("colours become classes of the theme's sixteen, text stays text", () => {
  assert.deepEqual(sgrSpans("\x1b[1;31mred\x1b[0m <b>&"), [
    ["f1 a-b", "red"],
    ["", " <b>&"],
  ]);
  assert.deepEqual(sgrSpans("\x1b[38;2;255;0;0mx\x1b[38;5;244my"), [
    ["f9", "x"],
    ["f8", "y"],
  ]);
});

test("what a terminal would act on is gone, what would turn or hide text is shown", () => {
  assert.deepEqual(sgrSpans("a\x1b]0;title\x07b\x00c\u202ed\x1b[2Je"), [["", "ab\\x00c\\u202ed"], ["", "e"]]);
});

test("copied text has no colours", () => {
  assert.equal(plainText("\x1b[31merror:\x1b[0m x"), "error: x");
});
