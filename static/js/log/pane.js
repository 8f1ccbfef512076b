// Where a reader stands in a log: a row and how many pixels of it are above the top edge. It reads the
// scrollbar and puts it where it belongs; what is in a row is not its matter.
//
// Rows have one height and the scrollbar is exact, as long as no browser's limit of an element's height is
// near. In longer logs, and when lines wrap, the scrollbar is a proportion, while wheel and keys move by pixels.

export const ROW_PX = 20; // --log-lh
const MAX_SPACER_PX = 15_000_000; // Firefox ends at 17.9 million, Chromium at 33.5 million
const SETTLE_MS = 140;
const JUMP_MS = 160;
const STILL_PX = 0.6;
const END_ROWS = 1.5;

export class Pane {
  // `rowCount()` rows exist; `heightOf(row)` is the height of one in pixels, where lines wrap.
  constructor(scroller, spacer, { rowCount, heightOf }) {
    this.scroller = scroller;
    this.spacer = spacer;
    this.rowCount = rowCount;
    this.wrappedHeightOf = heightOf;
    this.row = 0;
    this.px = 0;
    this.wraps = false;
    this.lastTop = 0;
    this.spacerHeight = 1;
    this.measure();
  }

  measure() {
    this.height = this.scroller.clientHeight || 400;
    this.width = this.scroller.clientWidth || 800;
  }

  heightOf(row) {
    return this.wraps ? this.wrappedHeightOf(row) : ROW_PX;
  }

  get isExact() {
    return !this.wraps && this.rowCount() * ROW_PX <= MAX_SPACER_PX;
  }

  get visibleRows() {
    return this.height / ROW_PX;
  }

  // The first row of the last view.
  get lastRow() {
    return Math.max(0, this.rowCount() - this.visibleRows);
  }

  get isAtEnd() {
    if (!this.wraps) return this.row + this.px / ROW_PX >= this.lastRow - END_ROWS;
    let height = -this.px;
    for (let row = this.row; row < this.rowCount(); row++) {
      height += this.heightOf(row);
      if (height > this.height + END_ROWS * ROW_PX) return false;
    }
    return true;
  }

  // Not scrollHeight, which can be a frame late after a fold.
  get #maxTop() {
    return Math.max(0, this.spacerHeight - this.scroller.clientHeight);
  }

  layOut() {
    this.spacerHeight = Math.max(1, Math.min(this.rowCount() * ROW_PX, MAX_SPACER_PX));
    this.spacer.style.height = `${this.spacerHeight}px`;
  }

  // Go where the reader has scrolled to; by how many pixels, 0 when that was this pane's own doing.
  followScrollbar() {
    const top = this.scroller.scrollTop;
    const delta = top - this.lastTop;
    if (Math.abs(delta) < STILL_PX) return 0;
    this.lastTop = top;
    if (this.isExact) {
      this.row = Math.floor(top / ROW_PX);
      this.px = top - this.row * ROW_PX;
    } else if (!this.isJumping && Math.abs(delta) <= this.height * 2) {
      this.moveBy(delta);
      clearTimeout(this.settleTimer);
      this.settleTimer = setTimeout(() => this.settle(), SETTLE_MS);
    } else {
      this.#jumpTo(top);
    }
    return delta;
  }

  // A drag or an animated jump: proportional, until it rests.
  #jumpTo(top) {
    this.isJumping = true;
    clearTimeout(this.jumpTimer);
    this.jumpTimer = setTimeout(() => {
      this.isJumping = false;
    }, JUMP_MS);
    const wanted = this.lastRow * (top / (this.#maxTop || 1));
    this.row = Math.floor(wanted);
    this.px = (wanted - this.row) * this.heightOf(this.row);
  }

  moveBy(delta) {
    const count = this.rowCount();
    this.px += delta;
    while (this.row < count - 1 && this.px >= this.heightOf(this.row)) {
      this.px -= this.heightOf(this.row);
      this.row += 1;
    }
    while (this.px < 0 && this.row > 0) {
      this.row -= 1;
      this.px += this.heightOf(this.row);
    }
    this.px = Math.max(0, this.px);
    if (!this.wraps && this.row + this.px / ROW_PX > this.lastRow) this.#standAt(this.lastRow);
  }

  #standAt(wanted) {
    this.row = Math.floor(wanted);
    this.px = (wanted - this.row) * ROW_PX;
  }

  // Put the scrollbar where the reader is, without moving what is seen.
  settle() {
    if (this.isExact) return;
    const share = (this.row + this.px / this.heightOf(this.row)) / Math.max(1, this.lastRow);
    const top = Math.min(1, share) * this.#maxTop;
    if (Math.abs(top - this.scroller.scrollTop) > 2) this.#scrollTo(top);
  }

  // The same, where the scrollbar is exact: after rows above were folded or opened.
  hold() {
    if (this.isExact) this.#scrollTo(this.row * ROW_PX + this.px);
    else this.settle();
  }

  #scrollTo(top) {
    this.scroller.scrollTop = top;
    this.lastTop = this.scroller.scrollTop;
  }

  // Show this row at a fraction of the pane's height.
  goToRow(row, fraction = 0) {
    const wanted = Math.max(0, Math.min(row - fraction * this.visibleRows, this.lastRow));
    this.#standAt(wanted);
    this.#scrollTo(this.isExact ? wanted * ROW_PX : (wanted / Math.max(1, this.lastRow)) * this.#maxTop);
  }

  // Wrapped rows: walk back from the last one until the pane is full.
  pinEnd() {
    let height = 0;
    let row = this.rowCount() - 1;
    while (row > 0 && height + this.heightOf(row) < this.height) {
      height += this.heightOf(row);
      row -= 1;
    }
    this.row = Math.max(0, row);
    this.px = Math.max(0, height + this.heightOf(this.row) - this.height);
    this.settle();
  }

  // The rows that are to be drawn now, a little more than is seen.
  rowsToDraw() {
    const rows = [];
    const count = this.rowCount();
    let y = -this.px;
    for (let row = this.row; row < count && y < this.height + 2 * ROW_PX; row++) {
      rows.push(row);
      y += this.heightOf(row);
    }
    return rows;
  }

  // The last row of which something is seen.
  lastSeenRow() {
    const count = this.rowCount();
    let row = this.row;
    let y = -this.px;
    while (row < count - 1) {
      y += this.heightOf(row);
      if (y >= this.height - 2) break;
      row += 1;
    }
    return row;
  }

  stop() {
    clearTimeout(this.settleTimer);
    clearTimeout(this.jumpTimer);
  }
}
