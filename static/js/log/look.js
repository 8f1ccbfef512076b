// What a row of this log shows, as rows.js asks for it.

export function lookOf(viewer) {
  return {
    startMs: Number(viewer.getAttribute("start")) || 0,
    rawAddress: viewer.getAttribute("raw"),
    get timeMode() {
      return viewer.timeMode;
    },
    textOf: (line) => viewer.lines.text(line),
    timeOf: (line) => viewer.lines.time(line),
    isCut: (line) => viewer.lines.isCut(line),
    markOf: (line) => viewer.marks.get(line),
    isSelected: (line) => viewer.selection.contains(line),
    isHit: (line) => viewer.searchBox.finder.line === line,
    groupAt: (line) => viewer.folds.headed.get(line),
    isFolded: (line) => viewer.folds.isFolded(line),
    linkTo: (line) => viewer.selection.addressOf(line, line).href,
  };
}
