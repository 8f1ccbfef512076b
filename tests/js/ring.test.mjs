import assert from "node:assert/strict";
import { test } from "node:test";

import { Ring, growthOf } from "../../static/js/log/ring.js";

class FakeSocket extends EventTarget {
  constructor(address) {
    super();
    this.address = address;
  }

  say(frame) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) }));
  }

  close(code = 1006) {
    this.dispatchEvent(Object.assign(new Event("close"), { code }));
  }
}

function listen(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const heard = [];
  const sockets = [];
  const note = (name) => (...values) => heard.push([name, ...values]);
  const ring = new Ring({
    address: "ws://board/ws/jobs/1/log?attempt=2",
    offset: 100,
    listener: { onGrow: note("grow"), onState: note("state"), onLost: note("lost"), onEnd: note("end") },
    openSocket: (address) => {
      sockets.push(new FakeSocket(address));
      return sockets.at(-1);
    },
  });
  ring.connect();
  return { ring, heard, sockets };
}

const logFrame = (offset, line, text) => ({
  type: "log",
  offset,
  next_offset: offset + text.length,
  line,
  text,
});

test("a frame tells which lines are new and how many there are", () => {
  assert.deepEqual(growthOf({ line: 1, text: "a\nb\n" }), { changedFrom: 0, total: 2 });
  assert.deepEqual(growthOf({ line: 8, text: "rest\nopen" }), { changedFrom: 7, total: 9 });
  assert.deepEqual(growthOf({ line: 8, text: "more" }), { changedFrom: 7, total: 8 });
  assert.deepEqual(growthOf({ line: 8, text: "\n" }), { changedFrom: 7, total: 8 });
});

test("it asks for what follows what the page has", (t) => {
  const { sockets } = listen(t);

  assert.equal(sockets[0].address.href, "ws://board/ws/jobs/1/log?attempt=2&offset=100");
});

test("a broken connection goes on at the last offset", (t) => {
  const { heard, sockets } = listen(t);
  sockets[0].say(logFrame(100, 5, "five\n"));
  sockets[0].close();
  t.mock.timers.tick(2000);

  assert.equal(sockets[1].address.searchParams.get("offset"), "105");
  assert.deepEqual(heard, [
    ["grow", { changedFrom: 4, total: 5 }],
    ["state", "stale", "reconnecting"],
    ["lost"],
  ]);
});

test("a frame with a gap or a repeat is not believed: it connects again", (t) => {
  const { heard, sockets } = listen(t);
  sockets[0].say(logFrame(90, 4, "x\n"));
  t.mock.timers.tick(2000);

  assert.deepEqual(heard.map(([name]) => name), ["state", "lost"]);
  assert.equal(sockets[1].address.searchParams.get("offset"), "100");
});

test("waiting doubles with each failure, up to half a minute and a quarter more", (t) => {
  const { sockets } = listen(t);
  for (let number = 0; number < 10; number++) {
    sockets.at(-1).close();
    t.mock.timers.tick(Math.min(30000, 1000 * 2 ** number) * 0.74);
    assert.equal(sockets.length, number + 1);
    t.mock.timers.tick(Math.min(30000, 1000 * 2 ** number) * 0.52);
    assert.equal(sockets.length, number + 2);
  }
});

test("the end is told once all was announced, and nothing is opened again", (t) => {
  const { heard, sockets } = listen(t);
  sockets[0].say({ type: "status", status: "running", phase: "building" });
  sockets[0].say({ type: "end", size: 100, status: "completed" });
  sockets[0].close(1000);
  t.mock.timers.tick(60000);

  assert.deepEqual(heard, [["state", "live", "building"], ["state", "paused", "complete"], ["end"]]);
  assert.equal(sockets.length, 1);
});

test("who may not read or asks for what is gone is told so, and it is not tried again", (t) => {
  for (const code of [4403, 4404]) {
    const { heard, sockets } = listen(t);
    sockets[0].close(code);
    t.mock.timers.tick(60000);
    assert.equal(heard[0][1], "stale");
    assert.match(heard[0][2], /reload the page/);
    assert.equal(sockets.length, 1);
    t.mock.timers.reset();
  }
});

test("a page that is left opens nothing more", (t) => {
  const { ring, heard, sockets } = listen(t);
  ring.stop();
  sockets[0].close();
  t.mock.timers.tick(60000);

  assert.deepEqual([heard, sockets.length], [[], 1]);
});
