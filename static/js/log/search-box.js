// The search field of a log's toolbar: what is typed is searched on the server, Enter goes from hit to hit. While the
// log grows the hits do, and the reader stays where they are.

import { Finder } from "./finder.js";
import { grouped } from "./format.js";

const TYPING_MS = 180;
const GROWING_MS = 2000;

export class SearchBox {
  constructor(viewer) {
    this.viewer = viewer;
    this.field = viewer.querySelector("[data-q]");
    this.result = viewer.querySelector("[data-hits]");
    this.finder = new Finder((query, options) => viewer.source.search(query, options));
    this.field.addEventListener("input", () => this.#searchSoon());
    this.field.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  stop() {
    clearTimeout(this.timer);
    clearTimeout(this.growing);
    this.finder.clear();
    this.finder.highlight([]);
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  #searchSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), TYPING_MS);
  }

  #handleKey(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      if (this.finder.query === this.field.value) this.step(event.shiftKey ? -1 : 1);
      else this.search();
    }
    if (event.key === "Escape") {
      event.stopPropagation();
      this.field.value = "";
      this.search();
      this.viewer.scroller.focus({ preventScroll: true });
    }
  }

  async search() {
    clearTimeout(this.timer);
    const query = this.field.value;
    if (!query) {
      this.finder.clear();
      this.#show("");
      return;
    }
    try {
      if (!(await this.finder.start(query))) return;
    } catch {
      this.finder.clear();
      this.#show("The search failed; press Enter to try again");
      return;
    }
    this.finder.standBefore(this.viewer.topLine);
    if (this.finder.count) this.step(1);
    else this.#showCount();
    if (this.viewer.isLive) this.growSoon(); // it may have grown meanwhile
    this.viewer.drawRuler();
  }

  // The log has more than was searched: look there soon, once for all that comes until then.
  growSoon() {
    this.hasGrown = this.finder.mayGrow;
    if (this.hasGrown) this.growing ??= setTimeout(() => this.#grow(), GROWING_MS);
  }

  async #grow() {
    if (!document.hidden) {
      this.hasGrown = false;
      try {
        if (this.finder.mayGrow && (await this.finder.grow())) this.#showCount();
      } catch {
        this.hasGrown = true;
      }
    }
    this.growing = undefined;
    if (this.hasGrown) this.growSoon();
  }

  // Go to the next hit (1) or the one before (-1).
  step(direction) {
    const line = this.finder.step(direction);
    if (line === undefined) return;
    this.viewer.follow(false);
    this.viewer.goToLine(line);
    this.#showCount();
  }

  #showCount() {
    const { at, count, isCut } = this.finder;
    const found = `${grouped(count)}${isCut ? "+" : ""}`;
    if (count) this.#show(at < 0 ? `${found} found` : `${grouped(at + 1)} of ${found}`);
    else this.#show("No matches");
  }

  #show(words) {
    this.result.textContent = words;
    this.viewer.render({ again: true });
    this.viewer.drawRuler();
  }
}
