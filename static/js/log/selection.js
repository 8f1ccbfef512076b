// The lines that a reader has chosen, and their address: `?attempt=2#L120-L140`. Clicking a line's number
// chooses it, shift-click a range; where there is no shift key, the next tap does. Opening an address chooses its lines
// and goes there.

import { copyText } from "../clipboard.js";
import { plainText } from "../ansi.js";
import { grouped, hashOfLines, linesOfHash } from "./format.js";

const MAX_COPIED_LINES = 10000;
const WINDOW_LINES = 500;
const COPIED_MS = 1500;

export class Selection {
  constructor(viewer) {
    this.viewer = viewer;
    this.range = null; // [first, last], numbered from 0
    this.anchor = 0; // where the next range begins
    this.awaitsTap = false; // one line was tapped: the next tap makes a range
    this.onHashChange = () => this.open({ focus: true });
    addEventListener("hashchange", this.onHashChange);
  }

  stop() {
    removeEventListener("hashchange", this.onHashChange);
  }

  contains(line) {
    return this.range !== null && line >= this.range[0] && line <= this.range[1];
  }

  // The address of these lines. It names the attempt: a later one has other lines.
  addressOf(first, last) {
    const address = new URL(location.href);
    address.searchParams.set("attempt", this.viewer.getAttribute("attempt"));
    address.searchParams.delete("view");
    address.hash = hashOfLines(first, last);
    return address;
  }

  // Choose lines, in either order, and put them into the address of the page.
  choose(one, other) {
    this.range = [Math.min(one, other), Math.max(one, other)];
    this.anchor = one;
    history.replaceState(history.state, "", this.addressOf(...this.range));
    this.#show();
  }

  // Choose and show the lines that the page's address names; whether it names any that are there.
  open({ focus = false } = {}) {
    const range = linesOfHash(location.hash);
    if (!range || range[0] >= this.viewer.total) return false;
    this.viewer.follow(false);
    this.range = range;
    this.anchor = range[0];
    this.awaitsTap = false;
    this.#show();
    this.viewer.goToLine(range[0]);
    this.viewer.bringIntoView(range[0]);
    if (focus) this.viewer.scroller.focus({ preventScroll: true });
    return true;
  }

  // `extend`: the shift key is down.
  click(line, { extend, isTouch }) {
    this.viewer.follow(false);
    const makesRange = this.range !== null && (extend || (isTouch && this.awaitsTap));
    this.awaitsTap = isTouch && !makesRange;
    this.choose(makesRange ? this.anchor : line, line);
    this.viewer.render({ again: true });
  }

  #show() {
    const part = this.viewer.querySelector("[data-selection]");
    const count = this.range[1] - this.range[0] + 1;
    part.hidden = false;
    this.viewer.querySelector("[data-hint]").hidden = true;
    part.querySelector("[data-next-tap]").hidden = !this.awaitsTap;
    part.querySelector("[data-act=copy-lines] [data-label]").textContent =
      count === 1 ? "Copy line" : `Copy ${grouped(Math.min(count, MAX_COPIED_LINES))} lines`;
  }

  async copyLink() {
    const [first, last] = this.range ?? [this.viewer.topLine, this.viewer.topLine];
    const isCopied = await copyText(this.addressOf(first, last).href);
    this.#sayCopied("copy", isCopied);
  }

  // The chosen lines as plain text, without colours; at most 10,000.
  async copyLines() {
    if (!this.range) return;
    const [first, last] = this.range;
    const count = Math.min(last - first + 1, MAX_COPIED_LINES, this.viewer.total - first);
    const texts = [];
    try {
      while (texts.length < count) {
        const wanted = Math.min(WINDOW_LINES, count - texts.length);
        const answer = await this.viewer.source.lines(first + texts.length, wanted);
        if (!answer.lines.length) break;
        for (const [, text] of answer.lines) texts.push(plainText(text));
      }
    } catch {
      this.#sayCopied("copy-lines", false);
      return;
    }
    this.#sayCopied("copy-lines", await copyText(`${texts.join("\n")}\n`));
  }

  #sayCopied(action, isCopied) {
    const label = this.viewer.querySelector(`[data-selection] [data-act=${action}] [data-label]`);
    if (!label) return;
    label.textContent = isCopied ? "Copied" : "Not copied";
    setTimeout(() => {
      label.textContent = "Copy link";
      if (this.range) this.#show();
    }, COPIED_MS);
  }
}
