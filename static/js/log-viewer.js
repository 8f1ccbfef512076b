// <bb-log>: one attempt's log of any length. The server owns the log, its lines and its search; the browser
// holds a bounded window of it and some thirty rows. No HTML is made of text, no style is written as markup.
//
//   <bb-log src="/jobs/1/log" attempt="2" total="1000000" start="1760000000000" raw="/api/..." [failed]
//           [live socket="/ws/jobs/1/log?attempt=2" offset="58700000"]>
//     [data-scroll] [data-spacer] [data-view], the toolbar's [data-act], and parts named data-... as below
//
// What it consists of is in log/: source (the server's answers), lines (what is held), folds (groups), pane
// (where the reader is), rows (drawing), search-box and finder (search), selection (links to lines, copying),
// feed and ring (what is new), signs and ruler (what the frame says), tools (buttons and keys).

import { plainText } from "./ansi.js";
import { causeOf } from "./log/cause.js";
import { Feed } from "./log/feed.js";
import { Folds } from "./log/folds.js";
import { LineCache } from "./log/lines.js";
import { lookOf } from "./log/look.js";
import { Pane, ROW_PX } from "./log/pane.js";
import { Rows } from "./log/rows.js";
import { drawRuler } from "./log/ruler.js";
import { SearchBox } from "./log/search-box.js";
import { Selection } from "./log/selection.js";
import { Signs } from "./log/signs.js";
import { HttpSource } from "./log/source.js";
import { listenToTools } from "./log/tools.js";

const NARROW = "(max-width: 640px)";
const FAST_SCROLL_MS = 50; // while the reader flies past, nothing is fetched
const READING_SHARE = 0.33; // a line that was asked for stands a third from the top
const MAX_LINE_COLUMNS = 16384;
const FRAME_PX = 96; // room for the bars of the page
const TIME_MODES = { rel: "abs", abs: "off", off: "rel" };

export class LogViewer extends HTMLElement {
  connectedCallback() {
    if (this.pane) return;
    this.scroller = this.querySelector("[data-scroll]");
    this.view = this.querySelector("[data-view]");
    this.canvas = document.createElement("div");
    this.canvas.className = "log-canvas";
    this.view.append(this.canvas);
    this.total = Number(this.getAttribute("total")) || 0;
    this.isLive = this.hasAttribute("live");
    this.isFollowing = false;
    this.isFull = false;
    this.unseen = 0;
    this.marks = new Map();
    this.errors = [];
    const isNarrow = matchMedia(NARROW).matches;
    this.timeMode = isNarrow ? "off" : "rel";
    this.#makeParts();
    this.pane.wraps = isNarrow;
    this.#listen();
    this.#measure();
    this.signs.showFlags();
    this.layOut();
    if (!this.selection.open()) {
      if (this.isLive) this.follow(true);
      else this.render();
    }
    this.feed.start();
  }

  disconnectedCallback() {
    this.resizes?.disconnect();
    this.selection?.stop();
    this.searchBox?.stop();
    removeEventListener("bb:theme", this.followTheme);
    this.lines?.stop();
    this.pane?.stop();
    this.feed?.stop();
    clearTimeout(this.fetchTimer);
  }

  #makeParts() {
    this.source ??= new HttpSource(this.getAttribute("src"), this.getAttribute("attempt"));
    this.folds = new Folds();
    this.folds.setTotal(this.total);
    this.lines = new LineCache({
      fetchLines: (from, count, signal) => this.source.lines(from, count, signal),
      onLines: (answer) => this.feed.takeLines(answer),
      onFailure: () => this.feed.lackLines(true),
      onRetry: () => this.render(),
    });
    this.lines.total = this.total;
    this.pane = new Pane(this.scroller, this.querySelector("[data-spacer]"), {
      rowCount: () => this.folds.rowCount,
      heightOf: (row) => this.#wrappedHeight(row),
    });
    this.rows = new Rows(this.canvas, lookOf(this));
    this.signs = new Signs(this);
    this.selection = new Selection(this);
    this.searchBox = new SearchBox(this);
    this.feed = new Feed(this);
  }

  #listen() {
    this.scroller.addEventListener("scroll", () => this.#noticeScroll(), { passive: true });
    this.scroller.addEventListener("scrollend", () => this.pane.settle(), { passive: true });
    this.canvas.addEventListener("click", (event) => this.#noticeClick(event));
    listenToTools(this);
    this.resizes = new ResizeObserver(() => {
      this.#measure();
      this.layOut();
      if (this.isFollowing) this.goToEnd();
      else this.render();
      this.drawRuler();
    });
    this.resizes.observe(this.scroller);
    this.followTheme = () => this.drawRuler();
    addEventListener("bb:theme", this.followTheme);
  }

  // ---- sizes --------------------------------------------------------------------------------------------

  #measure() {
    this.pane.measure();
    const probe = document.createElement("span");
    probe.className = "log-ch";
    probe.textContent = "0".repeat(100);
    this.view.append(probe);
    this.characterPx = probe.getBoundingClientRect().width / 100 || 7.5;
    probe.remove();
    this.view.style.height = `${this.pane.height}px`;
    this.view.style.width = `${this.pane.width}px`;
  }

  get #numberDigits() {
    return String(Math.max(this.total, 100)).length;
  }

  get #gutterPx() {
    const timeColumns = this.timeMode === "off" ? 0 : 9.5;
    return (this.#numberDigits + 2.5 + timeColumns) * this.characterPx + 22;
  }

  // A row that was drawn is known; of another the number of its characters tells.
  #wrappedHeight(row) {
    const line = this.folds.lineOf(row);
    const drawn = this.rows.heightOf(line);
    if (drawn) return drawn;
    const text = this.lines.text(line);
    if (text === undefined) return ROW_PX;
    const columns = Math.max(10, Math.floor((this.pane.width - this.#gutterPx) / this.characterPx));
    return ROW_PX * Math.max(1, Math.ceil(plainText(text).length / columns));
  }

  layOut() {
    this.pane.layOut();
    const columns = Math.min(this.lines.longest, MAX_LINE_COLUMNS);
    const width = Math.ceil(this.#gutterPx + columns * this.characterPx + 24);
    this.pane.spacer.style.width = this.pane.wraps ? "1px" : `${width}px`;
    this.laidOutColumns = this.lines.longest;
    this.style.setProperty("--ln-w", `${this.#numberDigits + 1}ch`);
    this.signs.showTotal();
  }

  // ---- moving -------------------------------------------------------------------------------------------

  #noticeScroll() {
    const left = this.scroller.scrollLeft;
    if (left !== this.lastLeft) {
      this.lastLeft = left;
      this.canvas.style.setProperty("--sx", `${-left}px`);
    }
    const delta = this.pane.followScrollbar();
    if (delta === 0) return;
    this.hasMoved = true;
    if (delta < 0) this.follow(false);
    else if (this.pane.isAtEnd) this.#arriveAtEnd();
    this.render({ isFast: Math.abs(delta) > this.pane.height * 3 });
  }

  #arriveAtEnd() {
    this.#seeAll();
    if (this.isLive) this.follow(true, { jump: false });
  }

  #seeAll() {
    this.unseen = 0;
    this.signs.showPill();
  }

  // Stay at the end from now on, or no longer.
  follow(follows, { jump = true } = {}) {
    if (this.isFollowing !== follows) {
      this.isFollowing = follows;
      this.signs.showFlags();
    }
    if (!follows) return;
    this.#seeAll();
    if (jump) this.goToEnd();
  }

  goToLine(line) {
    if (this.folds.reveal(line)) this.redraw();
    this.pane.goToRow(this.folds.rowOf(line), READING_SHARE);
    this.render({ again: true });
  }

  // Where the pane is taller than the window, or below it, the page is scrolled too.
  bringIntoView(line) {
    const { top, bottom } = this.rows.textElement(line)?.getBoundingClientRect() ?? {};
    if (bottom > innerHeight - FRAME_PX) scrollBy(0, bottom - innerHeight + FRAME_PX);
    else if (top < FRAME_PX) scrollBy(0, top - FRAME_PX);
  }

  goToStart() {
    this.follow(false);
    this.pane.goToRow(0);
    this.render();
  }

  goToEnd() {
    this.#seeAll();
    this.pane.goToRow(this.folds.rowCount);
    this.render();
    if (!this.pane.wraps) return;
    requestAnimationFrame(() => {
      // What was drawn was measured: the second time the heights are no guess any more.
      for (let time = 0; time < 2; time++) {
        this.pane.pinEnd();
        this.render();
      }
    });
  }

  toggleWrap() {
    const line = this.topLine;
    this.pane.wraps = !this.pane.wraps;
    this.signs.showFlags();
    this.#stayAt(line);
  }

  toggleTime() {
    this.timeMode = TIME_MODES[this.timeMode];
    this.signs.showFlags();
    this.#stayAt(this.topLine);
  }

  toggleFolds() {
    const line = this.topLine;
    this.folds.toggleAll();
    this.#stayAt(line);
  }

  toggleFull() {
    this.isFull = this.toggleAttribute("full");
    this.signs.showFlags();
  }

  // The next error (1) or the one before (-1), round and round, from what is chosen.
  goToError(direction) {
    if (!this.errors.length) return;
    this.follow(false);
    const at = this.selection.range?.[0] ?? (direction > 0 ? -1 : this.total);
    const line =
      direction > 0
        ? (this.errors.find((one) => one > at) ?? this.errors[0])
        : (this.errors.findLast((one) => one < at) ?? this.errors.at(-1));
    this.selection.choose(line, line);
    this.goToLine(line);
  }

  // To the head of the group that the top line belongs to.
  goToGroup() {
    const group = this.folds.groupAround(this.topLine);
    if (!group) return;
    this.follow(false);
    this.pane.goToRow(this.folds.rowOf(group.a));
    this.render();
  }

  get topLine() {
    return this.folds.lineOf(this.pane.row);
  }

  // Everything is drawn anew, with this line at the top as it was.
  #stayAt(line) {
    this.redraw();
    this.layOut();
    if (this.isFollowing) this.goToEnd();
    else this.pane.goToRow(this.folds.rowOf(line));
    this.render();
    this.drawRuler();
  }

  redraw() {
    this.layOut();
    this.rows.clear();
  }

  #toggleGroup(head) {
    this.folds.toggle(head);
    const row = this.folds.rowOf(head);
    if (row < this.pane.row) {
      this.pane.row = row;
      this.pane.px = 0;
    }
    this.redraw();
    this.pane.moveBy(0);
    this.pane.hold();
    this.render();
    this.drawRuler();
  }

  #noticeClick(event) {
    const group = event.target.closest("[data-group]");
    if (group) {
      this.#toggleGroup(Number(group.dataset.group));
      return;
    }
    const number = event.target.closest(".ln");
    if (!number || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const isTouch = event.pointerType ? event.pointerType === "touch" : matchMedia("(pointer: coarse)").matches;
    this.selection.click(number.parentNode.line, { extend: event.shiftKey, isTouch });
  }

  // ---- what the feed brings -----------------------------------------------------------------------------

  setTotal(total) {
    this.total = total;
    this.lines.total = total;
    this.folds.setTotal(total);
    this.layOut();
  }

  // `marks` is line -> "error" or "warning"; of very many only the first are in it, and `totals` counts all.
  setMarks(marks, totals) {
    this.marks = marks;
    this.errors = [...marks].filter(([, kind]) => kind === "error").map(([line]) => line);
    this.errors.sort((one, other) => one - other);
    this.errorCount = totals.error;
    this.signs.showErrors();
  }

  // The outline is here: what was asked for, or what the reader looks at, stays where it is. A failed job opens
  // at the line that tells why.
  keepPlace(top, { isFirst }) {
    const asked = this.selection.range?.[0] ?? (this.hasAttribute("failed") ? causeOf(this.errors) : undefined);
    this.redraw();
    if (this.isFollowing) {
      this.goToEnd();
    } else if (isFirst && asked !== undefined && !this.hasMoved) {
      this.goToLine(asked);
    } else {
      const row = this.folds.rowOf(top);
      if (this.folds.lineOf(row) !== top) this.pane.px = 0;
      this.pane.row = row;
      this.pane.hold();
    }
  }

  // ---- drawing ------------------------------------------------------------------------------------------

  render({ again = false, isFast = false } = {}) {
    const lines = this.pane.rowsToDraw().map((row) => this.folds.lineOf(row));
    this.rows.show(lines, { again });
    if (this.pane.wraps) this.rows.measure(lines, ROW_PX);
    this.canvas.style.transform = `translateY(${-this.pane.px}px)`;
    clearTimeout(this.fetchTimer);
    if (isFast) this.fetchTimer = setTimeout(() => this.lines.want(lines), FAST_SCROLL_MS);
    else this.lines.want(lines);
    this.searchBox.finder.highlight(lines.map((line) => this.rows.textElement(line)));
    this.signs.showPosition();
    this.signs.showGroup(lines[0]);
  }

  drawRuler() {
    drawRuler(this.querySelector("canvas[data-ruler]"), {
      marks: this.marks,
      hits: this.searchBox.finder.lines,
      rowOf: (line) => this.folds.rowOf(line),
      rowCount: this.folds.rowCount,
    });
  }
}

if (!customElements.get("bb-log")) customElements.define("bb-log", LogViewer);
