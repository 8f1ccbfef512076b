// The server's answers about one attempt's log. Lines are numbered from 0 here and from 1 on the screen.
//
//   GET {base}/lines?attempt&from&n   {from, total, live, lines: [[ms, text, cut], ...], rest: [ms, text, cut]}
//   GET {base}/search?attempt&q&from  {count, lines: [line, ...], truncated, total}
//   GET {base}/outline?attempt        {groups: [{a, b, title, ms, state, fold, live}], marks: [[line, "error"]],
//                                      totals: {error, warning}, whole}
//
// `ms` is the time since the log's start, `text` has SGR only, `cut` is 1 where the raw log has more. `rest` is
// what a live log has behind its last line end; to a reader it is a line like the others. `total` counts whole lines.

const MOST_WAIT_MS = 30000; // an answer that takes longer will not come

export class HttpSource {
  constructor(base, attempt) {
    this.base = base.replace(/\/$/, "");
    this.attempt = attempt;
  }

  async lines(from, count, signal) {
    return withRest(await this.#get("lines", { from, n: count }, { signal }));
  }

  // `from`: the first line that is looked at.
  search(query, { from, signal }) {
    return this.#get("search", { q: query, from }, { signal });
  }

  // `isFresh`: not one that the browser remembers.
  outline({ isFresh = false } = {}) {
    return this.#get("outline", {}, { cache: isFresh ? "reload" : "default" });
  }

  async #get(name, values, { signal, ...options }) {
    const query = new URLSearchParams({ attempt: this.attempt, ...values });
    const patience = AbortSignal.timeout(MOST_WAIT_MS);
    const answer = await fetch(`${this.base}/${name}?${query}`, {
      ...options,
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      headers: { Accept: "application/json" },
    });
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.json();
  }
}

// The answer with `rest` as its last line, counted in `total`.
export function withRest({ rest, ...answer }) {
  if (!rest) return answer;
  const isNext = answer.from + answer.lines.length === answer.total;
  return { ...answer, total: answer.total + 1, lines: isNext ? [...answer.lines, rest] : answer.lines };
}
