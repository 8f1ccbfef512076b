// The search over the whole log, which the server does, and the hit where the reader is.

const HIGHLIGHT = "log-hit";

export class Finder {
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
    let answer;
    try {
      answer = await this.search(query, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return false;
      throw error;
    }
    if (abort.signal.aborted) return false;
    this.query = query;
    this.lines = answer.lines;
    this.count = answer.count;
    this.isCut = answer.truncated;
    this.at = -1;
    return true;
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
