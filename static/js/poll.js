// Polling without eval: htmx's `every 2s [expr]` needs unsafe-eval; `every Ns` cannot pause, overlaps slow
// answers and keeps its old pace. An element with an id says data-poll="<ms>" and hx-trigger="bb:poll"; each
// answer carries the next pace (2000 active, 10000 finished, 0 stops).
//
//   - never while the tab is hidden; at once when it is shown again and the element is due
//   - one request at a time; the next is counted from the end of the last; +-10% jitter; failures back off
//     to 30 s, and so does what is not answered within htmx's `timeout` (_head.html)
//   - [data-live] says "Live", "Paused", or "Reconnecting" and of when the page then is; what is shown stays

const TICK_MS = 250;
const MAX_BACKOFF_MS = 30000;
const JITTER = 0.1;
const LIVE_WORDS = { live: "Live", paused: "Paused" };

const dueAt = new WeakMap();
const busy = new WeakSet();
const failures = new WeakMap();
let answeredAt = Date.now();
let isStale = false;

function nextDelay(element) {
  const pace = Number(element.dataset.poll) || 0;
  const failed = failures.get(element) || 0;
  const delay = Math.min(Math.max(pace, MAX_BACKOFF_MS), pace * 2 ** failed);
  return delay * (1 - JITTER + Math.random() * 2 * JITTER);
}

function wordsOf(state) {
  return LIVE_WORDS[state] ?? `Reconnecting, as of ${new Date(answeredAt).toISOString().slice(11, 19)} UTC`;
}

function sayState() {
  const state = document.hidden ? "paused" : isStale ? "stale" : "live";
  for (const indicator of document.querySelectorAll("[data-live]")) {
    if (indicator.dataset.state === state) continue;
    indicator.dataset.state = state;
    indicator.textContent = wordsOf(state);
  }
}

function paceWasShortened(element, pace, now) {
  return dueAt.get(element) > now + pace * (1 + JITTER) && !failures.get(element);
}

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-poll]")) {
    const pace = Number(element.dataset.poll);
    if (!pace || busy.has(element)) continue;
    if (!dueAt.has(element) || paceWasShortened(element, pace, now)) dueAt.set(element, now + nextDelay(element));
    if (dueAt.get(element) > now) continue;
    busy.add(element);
    element.dispatchEvent(new CustomEvent("bb:poll", { bubbles: false }));
  }
}

// Of a request that found nobody htmx tells twice.
function finishRequest(event, succeeded) {
  const element = event.detail.elt;
  if (!busy.delete(element)) return;
  failures.set(element, succeeded ? 0 : (failures.get(element) || 0) + 1);
  dueAt.set(element, Date.now() + nextDelay(element));
  if (succeeded) answeredAt = Date.now();
  isStale = !succeeded;
  sayState();
}

function followVisibility() {
  sayState();
  tick();
}

document.addEventListener("htmx:afterRequest", (event) => finishRequest(event, event.detail.successful));
document.addEventListener("htmx:sendError", (event) => finishRequest(event, false));
document.addEventListener("htmx:timeout", (event) => finishRequest(event, false));
document.addEventListener("visibilitychange", followVisibility);
setInterval(tick, TICK_MS);
