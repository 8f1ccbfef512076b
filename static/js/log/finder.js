// The search over the whole log, which the server does, and the hit where the reader is. Of a log that grows only what
// is new is searched again.

const HIGHLIGHT = "log-hit";
const MAX_LINES = 10000;

export class Finder {
  // `search(query, {from, signal})` answers as the server does.
  constructor(search) {
    this.search = search;
    this.clear();
  }

  clear() {
    this.abort?.abort();
    this.query = "";
    this.lines = [];
    this.count = 0;
    this.isCut = false;
    this.searchedLines = 0; // whole lines that were looked at
    this.at = -1;
  }

  get line() {
    return this.lines[this.at];
  }

  // Search; true when the answer is there, false when another search was faster. Throws what the server does.
  async start(query) {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    const answer = await this.#ask(query, 0, abort.signal);
    if (!answer) return false;
    this.query = query;
    this.lines = answer.lines;
    this.count = answer.count;
    this.isCut = answer.truncated;
    this.searchedLines = answer.total;
    this.at = -1;
    return true;
  }

  // Nothing when another search was faster.
  async #ask(query, from, signal) {
    try {
      const answer = await this.search(query, { from, signal });
      return signal.aborted ? undefined : answer;
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  // Whether there may be more hits than are known: where not all are named, more say nothing.
  get mayGrow() {
    return this.query !== "" && !this.isCut;
  }

  // Search what is new; true when there are other hits than before. The reader stays at theirs. Throws as `start` does.
  async grow() {
    const { query, searchedLines: from } = this;
    const answer = await this.#ask(query, from, this.abort.signal);
    if (!answer || this.query !== query || this.searchedLines !== from) return false;
    const known = this.lines.filter((line) => line < from); // a line without its end may have changed
    const hadCount = this.count;
    this.count = known.length + answer.count;
    this.lines = [...known, ...answer.lines];
    this.isCut = answer.truncated || this.lines.length > MAX_LINES;
    this.lines.length = Math.min(this.lines.length, MAX_LINES);
    this.searchedLines = answer.total;
    this.at = Math.min(this.at, this.lines.length - 1);
    return this.count !== hadCount;
  }

  // Stand before the first hit from this line on, so that a step forward leads to it.
  standBefore(line) {
    const next = this.lines.findIndex((hit) => hit >= line);
    this.at = (next < 0 ? 0 : next) - 1;
  }

  // Go to the next hit (1) or the one before (-1), round and round; its line, or nothing.
  step(direction) {
    if (!this.lines.length) return undefined;
    const from = this.at < 0 && direction < 0 ? 0 : this.at;
    this.at = (from + direction + this.lines.length) % this.lines.length;
    return this.line;
  }

  // Mark the query in these elements.
  highlight(elements) {
    if (!globalThis.CSS?.highlights || typeof Highlight === "undefined") return;
    CSS.highlights.delete(HIGHLIGHT);
    if (!this.query) return;
    const ranges = elements.flatMap((element) => rangesOf(element, this.query.toLowerCase()));
    CSS.highlights.set(HIGHLIGHT, new Highlight(...ranges));
  }
}

function rangesOf(element, wanted) {
  const ranges = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.toLowerCase();
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, Math.min(at + wanted.length, walker.currentNode.length));
      ranges.push(range);
    }
  }
  return ranges;
}
