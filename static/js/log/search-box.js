// The search field of a log's toolbar: what is typed is searched on the server, Enter goes from hit to hit.

import { Finder } from "./finder.js";
import { grouped } from "./format.js";

const TYPING_MS = 180;

export class SearchBox {
  constructor(viewer) {
    this.viewer = viewer;
    this.field = viewer.querySelector("[data-q]");
    this.result = viewer.querySelector("[data-hits]");
    this.finder = new Finder((query, signal) => viewer.source.search(query, signal));
    this.field.addEventListener("input", () => this.#searchSoon());
    this.field.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  stop() {
    clearTimeout(this.timer);
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
      this.#show("The search failed; press Enter to try again");
      return;
    }
    this.searchedTotal = this.viewer.total;
    this.finder.standBefore(this.viewer.topLine);
    if (this.finder.count) this.step(1);
    else this.#show("No matches");
    this.viewer.drawRuler();
  }

  // Go to the next hit (1) or the one before (-1).
  step(direction) {
    const line = this.finder.step(direction);
    if (line === undefined) return;
    this.viewer.follow(false);
    const { at, count, isCut } = this.finder;
    this.viewer.goToLine(line);
    this.#show(`${grouped(at + 1)} of ${grouped(count)}${isCut ? "+" : ""}`);
  }

  #show(words) {
    this.result.textContent = words;
    this.viewer.render({ again: true });
    this.viewer.drawRuler();
  }
}
