// Draws the lines that are seen, some thirty elements that are used again and again. Text from a build becomes
// text nodes and nothing else.

import { sgrSpans } from "../ansi.js";
import { clockTime, duration, elapsed, grouped } from "./format.js";

const MAX_SPARE = 80;
const WEB_ADDRESS = /https?:\/\/[^\s"'<>)\]]+/g;
const TRAILING_MARKS = /[.,;:!?]+$/;

function appendWithLinks(host, text) {
  let end = 0;
  for (const match of text.matchAll(WEB_ADDRESS)) {
    const address = match[0].replace(TRAILING_MARKS, "");
    const link = document.createElement("a");
    link.href = address;
    link.rel = "noopener noreferrer nofollow";
    link.textContent = address;
    host.append(text.slice(end, match.index), link);
    end = match.index + address.length;
  }
  host.append(text.slice(end));
}

// Show a line's text with its colours in an element.
export function fillLine(element, text) {
  element.textContent = "";
  for (const [classes, part] of sgrSpans(text)) {
    let host = element;
    if (classes) {
      host = document.createElement("span");
      host.className = classes;
      element.append(host);
    }
    if (part.includes("http")) appendWithLinks(host, part);
    else host.append(part);
  }
}

export class Rows {
  // `look` answers what a row shows: textOf(line), timeOf(line), markOf(line), isSelected(line), isHit(line),
  // isCut(line), groupAt(line), isFolded(line),
  // linkTo(line), rawAddress, startMs and timeMode ("rel", "abs" or "off").
  constructor(canvas, look) {
    this.canvas = canvas;
    this.look = look;
    this.shown = new Map(); // line -> its element
    this.spare = [];
  }

  // Show these lines in this order; `again` draws those anew that are shown already.
  show(lines, { again }) {
    this.#giveBack(new Set(lines));
    let previous = null;
    for (const line of lines) {
      let row = this.shown.get(line);
      if (!row) {
        row = this.spare.pop() ?? this.#makeRow();
        this.shown.set(line, row);
        this.#draw(row, line);
      } else if (again || !row.isLoaded) {
        this.#draw(row, line);
      }
      const place = previous ? previous.nextSibling : this.canvas.firstChild;
      if (place !== row) this.canvas.insertBefore(row, place);
      previous = row;
    }
  }

  #giveBack(wanted) {
    for (const [line, row] of this.shown) {
      if (wanted.has(line)) continue;
      row.remove();
      this.shown.delete(line);
      if (this.spare.length < MAX_SPARE) this.spare.push(row);
    }
  }

  clear() {
    this.#giveBack(new Set());
  }

  // Wrapped rows have heights of their own, known once they are drawn.
  measure(lines, leastPx) {
    for (const line of lines) {
      const row = this.shown.get(line);
      row.heightPx = Math.max(leastPx, row.offsetHeight);
    }
  }

  heightOf(line) {
    return this.shown.get(line)?.heightPx || 0;
  }

  textElement(line) {
    return this.shown.get(line)?.text;
  }

  #makeRow() {
    const row = document.createElement("div");
    row.className = "ll";
    row.number = document.createElement("a");
    row.number.className = "ln";
    row.number.tabIndex = -1; // thousands of stops would bury what follows the log
    row.time = document.createElement("span");
    row.time.className = "lt";
    row.text = document.createElement("span");
    row.text.className = "lx";
    row.append(row.number, row.time, row.text);
    return row;
  }

  #draw(row, line) {
    const text = this.look.textOf(line);
    const group = this.look.groupAt(line);
    row.line = line;
    row.heightPx = 0;
    row.isLoaded = text !== undefined;
    row.number.textContent = line + 1;
    row.number.href = this.look.linkTo(line);
    row.time.textContent = row.isLoaded ? this.#timeText(line) : "";
    row.className = this.#classesOf(row, line, group);
    if (group) this.#drawHead(row.text, group, line);
    else if (row.isLoaded) fillLine(row.text, text);
    else row.text.textContent = "";
    if (row.isLoaded && this.look.isCut(line)) row.text.append(this.#makeCutNote());
  }

  #makeCutNote() {
    const note = document.createElement("a");
    note.className = "muted";
    note.href = this.look.rawAddress;
    note.textContent = " … cut; the raw log has all of it";
    return note;
  }

  #timeText(line) {
    const milliseconds = this.look.timeOf(line);
    if (this.look.timeMode === "off" || milliseconds === null) return "";
    if (this.look.timeMode === "abs") return clockTime(this.look.startMs + milliseconds);
    return elapsed(milliseconds);
  }

  #classesOf(row, line, group) {
    const classes = ["ll"];
    const mark = this.look.markOf(line);
    if (mark) classes.push(`m-${mark}`);
    if (this.look.isSelected(line)) classes.push("sel");
    if (this.look.isHit(line)) classes.push("cur");
    if (!row.isLoaded) classes.push("ph");
    if (group) {
      classes.push("grp");
      if (!this.look.isFolded(line)) classes.push("open");
      if (group.state) classes.push(`s-${group.state}`);
    }
    return classes.join(" ");
  }

  #drawHead(element, group, line) {
    const isOpen = !this.look.isFolded(line);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "gb";
    button.tabIndex = -1;
    button.dataset.group = line;
    button.setAttribute("aria-expanded", String(isOpen));
    button.append(group.title);
    const facts = document.createElement("span");
    facts.className = "gd";
    facts.textContent = headFacts(group, { isOpen });
    element.replaceChildren(button, facts);
  }
}

// What stands behind a group's title: how many lines are folded away, and how long it took.
export function headFacts(group, { isOpen }) {
  const time = group.live ? "running" : duration(group.ms);
  if (isOpen) return time;
  const count = group.b - group.a;
  const lines = `${grouped(count)} ${count === 1 ? "line" : "lines"}`;
  return time ? `${lines} · ${time}` : lines;
}
