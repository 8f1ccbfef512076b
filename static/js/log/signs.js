// What the frame around a log says: where the reader is, how many lines there are, which tools are on.

import { grouped } from "./format.js";
import { headFacts } from "./rows.js";

function counted(number, word) {
  return `${grouped(number)} ${word}${number === 1 ? "" : "s"}`;
}

export class Signs {
  constructor(viewer) {
    this.viewer = viewer;
    this.pill = viewer.querySelector("[data-pill]");
    this.stick = viewer.querySelector("[data-stick]");
  }

  #part(selector) {
    return this.viewer.querySelector(selector);
  }

  #write(selector, text) {
    const element = this.#part(selector);
    if (element.textContent !== text) element.textContent = text;
  }

  showTotal() {
    this.#write("[data-total]", counted(this.viewer.total, "line"));
    this.#part("[data-empty]").hidden = this.viewer.total > 0;
  }

  showPosition() {
    const { viewer } = this;
    const last = viewer.folds.lineOf(viewer.pane.lastSeenRow());
    this.#write("[data-pos]", viewer.total ? `${grouped(viewer.topLine + 1)}–${grouped(last + 1)}` : "0");
  }

  // The group that the top line belongs to stays readable.
  showGroup(top) {
    const { viewer, stick } = this;
    const group = viewer.pane.row > 0 ? viewer.folds.groupAround(top) : null;
    stick.hidden = !group;
    if (!group || this.group === group) return;
    this.group = group;
    stick.className = group.state ? `log-stick s-${group.state}` : "log-stick";
    const facts = document.createElement("span");
    facts.className = "gd";
    facts.textContent = headFacts(group, { isOpen: true });
    stick.replaceChildren(`▾ ${group.title}`, facts);
  }

  showPill() {
    const { viewer, pill } = this;
    pill.hidden = !(viewer.unseen > 0 && !viewer.isFollowing);
    pill.querySelector("[data-n]").textContent = `${counted(viewer.unseen, "new line")}`;
  }

  showErrors() {
    const { length } = this.viewer.errors;
    this.#write("[data-errs]", counted(this.viewer.errorCount, "error"));
    this.#part("[data-act=error]").hidden = length === 0;
  }

  showFlags() {
    const { viewer } = this;
    const pressed = {
      follow: viewer.isFollowing,
      wrap: viewer.pane.wraps,
      ts: viewer.timeMode !== "off",
      full: viewer.isFull,
    };
    for (const [name, isOn] of Object.entries(pressed)) {
      this.#part(`[data-act=${name}]`).setAttribute("aria-pressed", String(isOn));
    }
    viewer.classList.toggle("wrap", viewer.pane.wraps);
    viewer.classList.toggle("no-ts", viewer.timeMode === "off");
    this.#part("[data-act=follow]").hidden = !viewer.isLive;
    this.#part("[data-act=fold]").hidden = viewer.folds.groups.length === 0;
  }
}
