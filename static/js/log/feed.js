// What comes to an open log by itself: more lines while it is live, its outline, and how the connection stands.

import { Ring } from "./ring.js";
import { showSteps } from "./steps.js";

const OUTLINE_PACE_MS = 5000;
const OUTLINE_PART_MS = 500;

export class Feed {
  constructor(viewer) {
    this.viewer = viewer;
    this.indicator = viewer.querySelector("[data-stream]");
    this.said = [this.indicator.dataset.state, this.indicator.textContent];
    this.lacksLines = false;
    this.hasOutline = false;
  }

  start() {
    this.#loadOutline();
    if (this.viewer.isLive && this.viewer.hasAttribute("socket")) this.#connect();
  }

  stop() {
    this.ring?.stop();
    clearTimeout(this.outlineTimer);
  }

  #connect() {
    const address = new URL(this.viewer.getAttribute("socket"), location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.ring = new Ring({
      address,
      offset: Number(this.viewer.getAttribute("offset")) || 0,
      listener: {
        onGrow: ({ changedFrom, total }) => {
          this.viewer.lines.change(changedFrom);
          this.#grow(total);
        },
        onState: (state, words) => this.#say(state, words),
        onLost: () => this.#lookForMore(),
        onEnd: () => this.#end(),
      },
    });
    this.ring.connect();
  }

  takeLines(answer) {
    const { viewer } = this;
    this.lackLines(false);
    if (answer.total > viewer.total) this.#grow(answer.total);
    if (viewer.lines.longest > viewer.laidOutColumns) viewer.layOut();
    viewer.render({ again: true });
    if (viewer.isFollowing && viewer.pane.wraps) viewer.goToEnd(); // only now is it known how high they are
  }

  // While the socket is away the log is looked at now and then.
  #lookForMore() {
    const { viewer } = this;
    viewer.lines.change(Math.max(0, viewer.total - 1));
    viewer.source.lines(viewer.total, 1).then(
      (answer) => this.#grow(answer.total),
      () => {}, // it is tried again with the socket
    );
  }

  #grow(total) {
    const { viewer } = this;
    const added = Math.max(0, total - viewer.total);
    viewer.setTotal(viewer.total + added);
    if (viewer.isLive) this.#loadOutlineLater(OUTLINE_PACE_MS);
    viewer.searchBox.growSoon();
    if (viewer.isFollowing) {
      viewer.goToEnd();
      return;
    }
    if (viewer.isLive && added > 0) {
      viewer.unseen += added;
      viewer.signs.showPill();
    }
    viewer.pane.settle();
    viewer.render();
  }

  #end() {
    const { viewer } = this;
    viewer.isLive = false;
    viewer.isFollowing = false;
    viewer.signs.showFlags();
    viewer.signs.showPill();
    this.#loadOutline();
  }

  #loadOutline() {
    clearTimeout(this.outlineTimer);
    this.outlineTimer = undefined;
    this.viewer.source.outline({ isFresh: this.hasOutline }).then(
      (outline) => this.#takeOutline(outline),
      () => this.#loadOutlineLater(OUTLINE_PACE_MS),
    );
  }

  #loadOutlineLater(milliseconds) {
    this.outlineTimer ??= setTimeout(() => this.#loadOutline(), milliseconds);
  }

  // Of a long log that nobody has looked at before it comes in parts.
  #takeOutline(outline) {
    const { viewer } = this;
    const top = viewer.topLine;
    const isFirst = !this.hasOutline;
    const rowsBefore = viewer.folds.rowCount;
    this.hasOutline = true;
    viewer.folds.setGroups(outline.groups, { folds: isFirst });
    viewer.setMarks(new Map(outline.marks), outline.totals);
    viewer.signs.showFlags();
    if (isFirst || viewer.folds.rowCount !== rowsBefore) viewer.keepPlace(top, { isFirst });
    viewer.render({ again: true });
    viewer.drawRuler();
    showSteps(viewer, outline.groups);
    if (!outline.whole) this.#loadOutlineLater(OUTLINE_PART_MS);
  }

  #say(state, words) {
    this.said = [state, words];
    this.#showState();
  }

  // What is on the screen stays there; that it may be old is said.
  lackLines(lacks) {
    if (this.lacksLines === lacks) return;
    this.lacksLines = lacks;
    this.#showState();
  }

  #showState() {
    const [state, words] = this.lacksLines ? ["stale", "lines cannot be fetched, trying again"] : this.said;
    this.indicator.dataset.state = state;
    if (this.indicator.textContent !== words) this.indicator.textContent = words;
  }
}
