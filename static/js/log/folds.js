// Which lines are hidden in folded groups, and so which row of the view shows which line. Without the DOM.
//
// A group is {a, b, title, ms, state, live, fold}: lines a to b, numbered from 0. Line a is its head and stays.
// A row is the number, from 0, of a line that is not hidden.

export class Folds {
  constructor() {
    this.total = 0;
    this.groups = [];
    this.headed = new Map(); // a head's line -> its group
    this.folded = new Set(); // heads
    this.hidden = []; // {first, count, before}: lines in a row that are hidden, and how many are before them
  }

  setTotal(total) {
    if (total === this.total) return;
    this.total = total;
    if (this.folded.size) this.#hideLines();
  }

  // The server's groups. `folds`: those that say so are folded; afterwards nothing folds under the reader's eyes.
  setGroups(groups, { folds }) {
    for (const group of groups) {
      if (folds && group.fold) this.folded.add(group.a);
    }
    this.groups = groups;
    this.headed = new Map(groups.map((group) => [group.a, group]));
    for (const head of [...this.folded]) {
      if (!this.headed.has(head)) this.folded.delete(head);
    }
    this.#hideLines();
  }

  #hideLines() {
    const spans = [...this.folded]
      .map((head) => this.headed.get(head))
      .map((group) => [group.a + 1, Math.min(group.b, this.total - 1)])
      .filter(([first, last]) => last >= first)
      .sort((one, other) => one[0] - other[0]);
    this.hidden = [];
    let before = 0;
    let end = 0;
    for (const [first, last] of spans) {
      if (first < end) continue; // inside one that is folded already
      const count = last - first + 1;
      this.hidden.push({ first, count, before });
      before += count;
      end = last + 1;
    }
  }

  get rowCount() {
    const last = this.hidden.at(-1);
    return this.total - (last ? last.before + last.count : 0);
  }

  lineOf(row) {
    const at = this.#lastHidden((span) => span.first - span.before <= row);
    return at ? row + at.before + at.count : row;
  }

  // The row of a line; of a hidden one the row of its group's head.
  rowOf(line) {
    const at = this.#lastHidden((span) => span.first <= line);
    if (!at) return line;
    if (line < at.first + at.count) return at.first - 1 - at.before;
    return line - at.before - at.count;
  }

  #lastHidden(isBefore) {
    let low = 0;
    let high = this.hidden.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.hidden[middle])) low = middle + 1;
      else high = middle;
    }
    return this.hidden[low - 1];
  }

  isFolded(head) {
    return this.folded.has(head);
  }

  toggle(head) {
    if (this.folded.has(head)) this.folded.delete(head);
    else this.folded.add(head);
    this.#hideLines();
  }

  // All folded; or all open, when they are all folded.
  toggleAll() {
    const folds = this.folded.size < this.headed.size;
    this.folded = new Set(folds ? this.headed.keys() : []);
    this.#hideLines();
  }

  // Open what hides this line; whether anything was to be opened.
  reveal(line) {
    const hiding = this.groups.filter(
      (group) => group.a < line && line <= group.b && this.folded.has(group.a),
    );
    for (const group of hiding) this.folded.delete(group.a);
    if (hiding.length) this.#hideLines();
    return hiding.length > 0;
  }

  // The innermost group that this line belongs to, but not as its head.
  groupAround(line) {
    let found = null;
    for (const group of this.groups) {
      if (group.a < line && line <= group.b && (!found || group.a > found.a)) found = group;
    }
    return found;
  }
}
