// <bb-live-log>: the newest lines of one attempt's log, as they come. The server has written the tail into the
// page; this opens the WebSocket at the offset behind it and appends text nodes, never HTML.
//
//   data-socket   /ws/jobs/<id>/log?attempt=K       data-offset   where to go on, in kept bytes
//   data-line     number (from 1) of that line      data-paged    the paged log, for lines that are not shown
//   data-complete there: the log has ended and all of its end is in the page
//
// It keeps the last 5,000 lines (twice as many while the reader looks back) and stays where the reader is.

import { SgrState, sgrSpans } from "./ansi.js";

const MAX_LINES = 5000;
const MAX_LINE_LENGTH = 16384;
const FLUSH_MS = 60;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30000;
const AT_END_PX = 24;
const CLOSE_NORMAL = 1000;
const CLOSE_FORBIDDEN = 4403;
const CLOSE_UNKNOWN = 4404;
const numbers = new Intl.NumberFormat("en");

class LiveLog extends HTMLElement {
  connectedCallback() {
    if (this.lines) return;
    this.lines = this.querySelector("[data-lines]");
    this.scroller = this.querySelector("[data-scroll]");
    this.pill = this.querySelector("[data-pill]");
    this.offset = Number(this.dataset.offset) || 0;
    this.nextLine = Number(this.dataset.line) || 1;
    this.sgr = new SgrState();
    this.waiting = [];
    this.openText = "";
    // The server shows a line that has not ended yet; it is sent again from its start.
    this.openRow = this.lines.querySelector(`#L${this.nextLine}`);
    this.unseen = 0;
    this.retries = 0;
    this.follows = true;
    this.lastTop = 0;
    this.scroller.addEventListener("scroll", () => this.noticeScroll(), { passive: true });
    this.followHash = () => this.openLinkedLine();
    addEventListener("hashchange", this.followHash);
    this.addEventListener("click", (event) => this.act(event.target.closest("[data-act]")?.dataset.act));
    for (const tool of this.querySelectorAll(".tool[hidden]")) tool.hidden = false;
    if (matchMedia("(max-width: 640px)").matches) this.act("wrap");
    this.scrollToEnd();
    if (!this.openLinkedLine()) this.setFollow(true);
    if (!this.hasAttribute("data-complete")) this.connect();
  }

  disconnectedCallback() {
    this.gone = true;
    removeEventListener("hashchange", this.followHash);
    clearTimeout(this.retryTimer);
    this.socket?.close();
  }

  // ---- the socket ---------------------------------------------------------------------------------------

  connect() {
    const address = new URL(this.dataset.socket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("offset", this.offset);
    this.socket = new WebSocket(address);
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.noticeClose(event.code));
  }

  receive(frame) {
    this.retries = 0;
    if (frame.type === "log") this.takeText(frame);
    if (frame.type === "status") this.say("live", frame.phase || frame.status);
    if (frame.type === "end") this.ended = true;
  }

  takeText(frame) {
    if (frame.offset !== this.offset) {
      this.socket.close(); // a gap or a repeat: ask again from where this log stands
      return;
    }
    this.offset = frame.next_offset;
    const [first, ...rest] = frame.text.split("\n");
    this.openText = overwritten(this.openText + first);
    for (const line of rest) {
      this.waiting.push(this.openText);
      this.openText = overwritten(line);
    }
    if (this.waiting.length > 2 * MAX_LINES) this.skip(this.waiting.length - MAX_LINES);
    this.flushTimer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  noticeClose(code) {
    if (this.gone) return;
    if (this.ended || code === CLOSE_NORMAL) this.say("paused", "complete");
    else if (code === CLOSE_FORBIDDEN) this.say("stale", "you may not read this log any more; reload the page");
    else if (code === CLOSE_UNKNOWN) this.say("stale", "this log is gone; reload the page");
    else this.retry();
  }

  retry() {
    const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.retries) * (0.75 + Math.random() / 2);
    this.retries += 1;
    this.say("stale", "reconnecting");
    this.retryTimer = setTimeout(() => this.connect(), delay);
  }

  say(state, words) {
    const indicator = this.querySelector("[data-stream]");
    indicator.dataset.state = state;
    if (indicator.textContent !== words) indicator.textContent = words;
  }

  // ---- lines --------------------------------------------------------------------------------------------

  skip(count) {
    this.waiting.splice(0, count);
    this.openRow?.remove();
    this.openRow = null;
    this.nextLine += count;
    this.lines.replaceChildren();
  }

  flush() {
    this.flushTimer = undefined;
    const added = this.waiting.length;
    const fragment = document.createDocumentFragment();
    for (const text of this.waiting) {
      const row = this.openRow ?? this.makeRow(fragment);
      this.openRow = null;
      fill(row, text, this.sgr);
      this.nextLine += 1;
    }
    this.waiting = [];
    if (this.openText) {
      this.openRow ??= this.makeRow(fragment);
      fill(this.openRow, this.openText, Object.assign(new SgrState(), this.sgr, { styles: new Set(this.sgr.styles) }));
    }
    this.lines.append(fragment);
    this.trim();
    this.showCounts(added);
    if (this.follows) this.scrollToEnd();
  }

  makeRow(fragment) {
    const row = document.createElement("div");
    const number = document.createElement("a");
    const text = document.createElement("span");
    row.className = "ll";
    row.id = `L${this.nextLine}`;
    number.className = "ln";
    number.href = `#${row.id}`;
    number.tabIndex = -1; // thousands of stops would bury what follows the log
    number.textContent = this.nextLine;
    text.className = "lx";
    row.append(number, text);
    fragment.append(row);
    return row;
  }

  trim() {
    const room = this.follows ? MAX_LINES : 2 * MAX_LINES;
    const excess = this.lines.childElementCount - room;
    if (excess <= 0) return;
    const before = this.scroller.scrollHeight;
    for (let count = 0; count < excess; count++) this.lines.firstElementChild.remove();
    if (!this.follows) this.scroller.scrollTop -= before - this.scroller.scrollHeight;
  }

  showCounts(added) {
    const first = this.lines.firstElementChild?.id.slice(1);
    const last = this.lines.lastElementChild?.id.slice(1);
    if (!first) return;
    this.lines.classList.toggle("wide", Number(last) >= 100000);
    this.querySelector("[data-first]").textContent = numbers.format(first);
    this.querySelector("[data-last]").textContent = numbers.format(last);
    this.querySelector("[data-empty]")?.remove();
    if (this.follows) return;
    this.unseen += added;
    this.pill.hidden = this.unseen === 0;
    this.pill.querySelector("[data-n]").textContent = numbers.format(this.unseen);
  }

  // ---- the reader ---------------------------------------------------------------------------------------

  scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lastTop = this.scroller.scrollTop;
  }

  noticeScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    if (scrollHeight - clientHeight - scrollTop < AT_END_PX) this.setFollow(true);
    else if (scrollTop < this.lastTop - 1) this.setFollow(false);
    this.lastTop = scrollTop;
  }

  setFollow(follows) {
    if (follows) {
      this.unseen = 0;
      this.pill.hidden = true;
    }
    this.follows = follows;
    this.querySelector("[data-act=follow]").setAttribute("aria-pressed", String(follows));
  }

  act(name) {
    if (name === "wrap") {
      const wraps = this.classList.toggle("wrap");
      this.querySelector("[data-act=wrap]").setAttribute("aria-pressed", String(wraps));
    }
    if (name === "end" || (name === "follow" && !this.follows)) {
      this.setFollow(true);
      this.scrollToEnd();
    } else if (name === "follow") {
      this.setFollow(false);
    }
  }

  // True when the address names a line: it is shown here, or on the page of the paged log that has it.
  openLinkedLine() {
    const [, first, last] = location.hash.match(/^#L(\d+)(?:-L(\d+))?$/) ?? [];
    const line = Number(first);
    if (!line) return false;
    const row = document.getElementById(`L${line}`);
    if (row) {
      this.setFollow(false);
      this.markLines(line, Math.min(Number(last) || line, line + MAX_LINES));
      row.scrollIntoView({ block: "center" });
      this.lastTop = this.scroller.scrollTop;
    } else if (line < this.nextLine) {
      const address = new URL(this.dataset.paged, location.href);
      address.searchParams.set("line", line);
      location.replace(`${address}#L${line}`);
    }
    return true;
  }

  markLines(first, last) {
    for (const row of this.lines.querySelectorAll(".ll.sel")) row.classList.remove("sel");
    for (let line = first; line <= last; line++) document.getElementById(`L${line}`)?.classList.add("sel");
  }
}

// A carriage return goes back to the line's start, so only what follows the last one is left to see.
function overwritten(text) {
  const end = text.replace(/\r+$/, "").length;
  const start = text.lastIndexOf("\r", end - 1) + 1;
  const rest = text.slice(start);
  return rest.length > 4 * MAX_LINE_LENGTH ? rest.slice(0, 4 * MAX_LINE_LENGTH) : rest;
}

function fill(row, text, sgr) {
  const host = row.lastElementChild;
  host.textContent = "";
  for (const [classes, part] of sgrSpans(text.slice(0, MAX_LINE_LENGTH), sgr)) {
    if (!classes) {
      host.append(part);
      continue;
    }
    const span = document.createElement("span");
    span.className = classes;
    span.textContent = part;
    host.append(span);
  }
  if (text.length > MAX_LINE_LENGTH) host.append(" … (cut; the raw log has all of it)");
}

customElements.define("bb-live-log", LiveLog);
