import assert from "node:assert/strict";
import { test } from "node:test";

import { causeOf } from "../../static/js/log/cause.js";

test("the error to begin with is the first of those that stand together at the end", () => {
  assert.equal(causeOf([]), undefined);
  assert.equal(causeOf([7]), 7);
  assert.equal(causeOf([3, 47913, 47917, 47928]), 47913);
  assert.equal(causeOf([100, 200, 301]), 301);
});
