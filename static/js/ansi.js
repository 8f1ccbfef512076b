// SGR (colours) in log text as [[class names, text], ...]: the caller makes text nodes and spans of them, never
// HTML. 256 and true colours are snapped to the theme's sixteen, so that contrast holds in both themes.

const CONTROL_SEQUENCE = /\x1b\[[0-9;:]*[@-~]/g;
// Operating system commands (titles, links), other escapes, carriage returns and backspaces are dropped.
const DROPPED = /\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\-~]|\x1b(?!\[)|[\r\b]/g;
// Control characters, and those that turn the direction of writing, are shown as what they are.
const UNSEEN = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const STYLE_ON = { 1: "a-b", 2: "a-d", 3: "a-i", 4: "a-u", 7: "a-inv", 9: "a-s" };
const STYLE_OFF = { 22: ["a-b", "a-d"], 23: ["a-i"], 24: ["a-u"], 27: ["a-inv"], 29: ["a-s"] };
const CUBE_LEVELS = [0, 95, 135, 175, 215, 255];

// What a line leaves in force for the next one.
export class SgrState {
  constructor() {
    this.reset();
  }

  reset() {
    this.foreground = "";
    this.background = "";
    this.styles = new Set();
  }

  classes() {
    return [this.foreground, this.background, ...this.styles].filter(Boolean).join(" ");
  }

  apply(parameters) {
    const codes = parameters.split(/[;:]/).map(Number);
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at];
      if (code === 38 || code === 48) {
        const isIndexed = codes[at + 1] === 5;
        const colour = isIndexed
          ? snapIndexed(codes[at + 2])
          : snapRgb(codes[at + 2], codes[at + 3], codes[at + 4]);
        at += isIndexed ? 2 : 4;
        if (code === 38) this.foreground = `f${colour}`;
        else this.background = `g${colour}`;
      } else {
        this.applyPlain(code);
      }
    }
  }

  applyPlain(code) {
    if (code === 0) this.reset();
    else if (code in STYLE_ON) this.styles.add(STYLE_ON[code]);
    else if (code in STYLE_OFF) STYLE_OFF[code].forEach((style) => this.styles.delete(style));
    else if (code >= 30 && code <= 37) this.foreground = `f${code - 30}`;
    else if (code >= 90 && code <= 97) this.foreground = `f${code - 82}`;
    else if (code >= 40 && code <= 47) this.background = `g${code - 40}`;
    else if (code >= 100 && code <= 107) this.background = `g${code - 92}`;
    else if (code === 39) this.foreground = "";
    else if (code === 49) this.background = "";
  }
}

function snapRgb(red = 0, green = 0, blue = 0) {
  const highest = Math.max(red, green, blue);
  const lowest = Math.min(red, green, blue);
  if (highest - lowest < 40) {
    if (highest < 64) return 0;
    if (highest < 150) return 8;
    return highest < 220 ? 7 : 15;
  }
  const middle = (highest + lowest) / 2;
  const hue = (red > middle ? 1 : 0) | (green > middle ? 2 : 0) | (blue > middle ? 4 : 0);
  return highest > 200 ? hue + 8 : hue;
}

function snapIndexed(index = 7) {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = (index - 232) * 10 + 8;
    return snapRgb(grey, grey, grey);
  }
  const cube = index - 16;
  return snapRgb(
    CUBE_LEVELS[Math.floor(cube / 36)],
    CUBE_LEVELS[Math.floor(cube / 6) % 6],
    CUBE_LEVELS[cube % 6],
  );
}

function visible(character) {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

// The text without its colours.
export function plainText(text) {
  return text.includes("\x1b") ? text.replace(CONTROL_SEQUENCE, "") : text;
}

export function sgrSpans(text, state = new SgrState()) {
  const spans = [];
  const shown = text.replace(DROPPED, "").replace(UNSEEN, visible);
  let from = 0;
  for (const match of shown.matchAll(CONTROL_SEQUENCE)) {
    if (match.index > from) spans.push([state.classes(), shown.slice(from, match.index)]);
    if (match[0].endsWith("m")) state.apply(match[0].slice(2, -1));
    from = match.index + match[0].length;
  }
  if (from < shown.length) spans.push([state.classes(), shown.slice(from)]);
  return spans;
}
