// The groups of the log as a list beside it, each a link to its first line; filled from the outline.

import { duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST_STEPS = 100;

function makeIcon(name, classes) {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("class", `i i-s ${classes}`);
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  icon.append(use);
  return icon;
}

function iconOf(group) {
  if (group.live) return makeIcon("loader-circle", "run spin");
  if (group.state === "failed") return makeIcon("x", "bad");
  return makeIcon("chevron-right", "muted");
}

// The groups that are the step now: those that failed, and of those that run, one within the other, the innermost.
function currentOf(groups) {
  return new Set([...groups.filter((group) => group.state === "failed"), groups.findLast((group) => group.live)]);
}

function makeStep(group, isCurrent) {
  const link = document.createElement("a");
  link.className = "stepi";
  link.href = `#L${group.a + 1}`;
  if (isCurrent) link.setAttribute("aria-current", "step");
  const title = document.createElement("span");
  title.className = "trunc";
  title.title = group.title;
  title.textContent = group.title;
  const time = document.createElement("small");
  time.textContent = group.live ? "" : duration(group.ms);
  link.append(iconOf(group), title, time);
  return link;
}

// Show these groups in the list that belongs to this log, if the page has one.
export function showSteps(viewer, groups) {
  const list = document.querySelector(`[data-log-steps="${viewer.id}"]`);
  if (!list) return;
  const current = currentOf(groups);
  list.replaceChildren(...groups.slice(0, MOST_STEPS).map((group) => makeStep(group, current.has(group))));
  list.hidden = groups.length === 0;
}
