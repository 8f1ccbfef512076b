// The lines that the browser holds: at most 32,000 of a log of any length, fetched in blocks when they are
// looked at, the ones longest unused dropped first. Without the DOM.

export const BLOCK_LINES = 500;
const MAX_BLOCKS = 64;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30000;

export class LineCache {
  // `fetchLines(from, count, signal)` answers as the server does. `onLines(answer)` is called after each answer,
  // `onFailure()` after each failure, and `onRetry()` when what is looked at may be wanted again.
  constructor({ fetchLines, onLines, onFailure, onRetry }) {
    this.fetchLines = fetchLines;
    this.onLines = onLines;
    this.onFailure = onFailure;
    this.onRetry = onRetry;
    this.total = 0;
    this.longest = 80; // characters of the longest line seen
    this.blocks = new Map(); // number -> {texts, times, cut, fresh}; the last used ones at the end
    this.pending = new Map(); // number -> {abort, changedFrom}
    this.failures = 0;
  }

  text(line) {
    return this.#block(line)?.texts[line % BLOCK_LINES];
  }

  time(line) {
    return this.#block(line)?.times[line % BLOCK_LINES];
  }

  // Whether the line is longer than what is shown of it.
  isCut(line) {
    return this.#block(line)?.cut.has(line % BLOCK_LINES) ?? false;
  }

  #block(line) {
    return this.blocks.get(Math.floor(line / BLOCK_LINES));
  }

  // Lines from this one on have changed or are new: they are shown as they are until the new ones are here.
  change(fromLine) {
    for (const [number, block] of this.blocks) {
      block.fresh = Math.min(block.fresh, Math.max(0, fromLine - number * BLOCK_LINES));
    }
    for (const request of this.pending.values()) request.changedFrom = Math.min(request.changedFrom, fromLine);
  }

  // Fetch what is missing of the blocks that these lines are in.
  want(lines) {
    const numbers = new Set();
    for (const line of lines) numbers.add(Math.floor(line / BLOCK_LINES));
    for (const number of numbers) this.#wantBlock(number);
  }

  #wantBlock(number) {
    const block = this.blocks.get(number);
    const first = number * BLOCK_LINES;
    const wanted = Math.min(BLOCK_LINES, this.total - first);
    if (block) {
      this.blocks.delete(number);
      this.blocks.set(number, block);
    }
    if (wanted <= 0 || (block && block.fresh >= wanted) || this.pending.has(number)) return;
    if (this.retryAt && Date.now() < this.retryAt) return;
    this.#request(number, first + (block?.fresh ?? 0));
  }

  async #request(number, from) {
    const abort = new AbortController();
    const request = { abort, changedFrom: Infinity };
    this.pending.set(number, request);
    try {
      const end = (number + 1) * BLOCK_LINES;
      const answer = await this.fetchLines(from, end - from, abort.signal);
      this.pending.delete(number);
      this.failures = 0;
      this.retryAt = 0;
      this.#keep(number, answer, request.changedFrom);
      this.onLines(answer);
    } catch {
      this.pending.delete(number);
      if (!abort.signal.aborted) this.#fail();
    }
  }

  #keep(number, answer, changedFrom) {
    const first = number * BLOCK_LINES;
    const block = this.blocks.get(number) ?? { texts: [], times: [], cut: new Set(), fresh: 0 };
    let line = answer.from;
    for (const [time, text, isCut] of answer.lines) {
      block.times[line - first] = time;
      block.texts[line - first] = text;
      if (isCut) block.cut.add(line - first);
      else block.cut.delete(line - first);
      if (text.length > this.longest) this.longest = text.length;
      line += 1;
    }
    block.fresh = Math.max(0, Math.min(line, changedFrom) - first);
    this.blocks.delete(number);
    this.blocks.set(number, block);
    while (this.blocks.size > MAX_BLOCKS) this.blocks.delete(this.blocks.keys().next().value);
  }

  #fail() {
    const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.failures);
    this.failures += 1;
    this.retryAt = Date.now() + delay;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => {
      this.retryAt = 0;
      this.onRetry();
    }, delay);
    this.onFailure();
  }

  stop() {
    clearTimeout(this.retryTimer);
    for (const request of this.pending.values()) request.abort.abort();
  }
}
