// The overview ruler: where errors, warnings and hits of the search are in the whole log. It draws on a canvas
// that says nothing which the toolbar does not say in words.

const WARNING = { colour: "--c-run", left: 5, height: 1, alpha: 0.45 };
const HIT = { colour: "--log-hit", left: 1, height: 2, alpha: 0.9 };
const ERROR = { colour: "--color-error", left: 1, height: 3, alpha: 1 };

// `marks` is line -> "error" or "warning", `hits` lines; `rowOf` and `rowCount` are those of the folds.
export function drawRuler(canvas, { marks, hits, rowOf, rowCount }) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const tick = (line, look) => {
    context.globalAlpha = look.alpha;
    context.fillStyle = style.getPropertyValue(look.colour);
    const y = (rowOf(line) / Math.max(1, rowCount)) * height;
    context.fillRect(look.left, Math.min(height - look.height, y), width - look.left - 1, look.height);
  };
  for (const [line, kind] of marks) if (kind !== "error") tick(line, WARNING);
  for (const line of hits) tick(line, HIT);
  for (const [line, kind] of marks) if (kind === "error") tick(line, ERROR);
}
