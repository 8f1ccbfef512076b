// How numbers, times and durations of a log are written. Without the DOM.

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const numbers = new Intl.NumberFormat("en");

const twoDigits = (number) => String(number).padStart(2, "0");

// 1234567 as "1,234,567".
export function grouped(number) {
  return numbers.format(number);
}

// Time since the start, as "9:12" or "1:02:33".
export function elapsed(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / SECOND_MS));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const head = hours ? `${hours}:${twoDigits(minutes % 60)}` : String(minutes);
  return `${head}:${twoDigits(seconds % 60)}`;
}

// The time of day in UTC, as "19:12:04".
export function clockTime(epochMilliseconds) {
  return new Date(epochMilliseconds).toISOString().slice(11, 19);
}

// How long something took, as "850ms", "2.1s", "9m 12s", "2h 04m"; nothing when that is not known.
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  if (milliseconds < SECOND_MS) return `${Math.round(milliseconds)}ms`;
  if (milliseconds < MINUTE_MS) return `${(Math.floor(milliseconds / 100) / 10).toFixed(1)}s`;
  if (milliseconds < HOUR_MS) {
    const seconds = Math.floor(milliseconds / SECOND_MS) % 60;
    return `${Math.floor(milliseconds / MINUTE_MS)}m ${twoDigits(seconds)}s`;
  }
  return `${Math.floor(milliseconds / HOUR_MS)}h ${twoDigits(Math.floor(milliseconds / MINUTE_MS) % 60)}m`;
}

// "#L120" and "#L120-L140" as [first, last], numbered from 0 and in order; null for anything else.
export function linesOfHash(hash) {
  const [, first, last] = hash.match(/^#L(\d{1,15})(?:-L?(\d{1,15}))?$/) ?? [];
  if (first === undefined) return null;
  const lines = [Number(first) - 1, Number(last ?? first) - 1];
  if (Math.min(...lines) < 0) return null;
  return lines[0] <= lines[1] ? lines : [lines[1], lines[0]];
}

// The other way round.
export function hashOfLines(first, last) {
  return first === last ? `#L${first + 1}` : `#L${first + 1}-L${last + 1}`;
}
