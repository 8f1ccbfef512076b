// On the page that stands in for another while the board is away: looks for that page now and then, never while the
// tab is hidden, and opens it when it is there.

const PACE_MS = 5000; // as the answer's Retry-After says
const JITTER = 0.2;
const MOST_WAIT_MS = 15000;
const AWAY = 503;

let timer;

async function isBack() {
  try {
    const answer = await fetch(location.href, {
      method: "HEAD",
      cache: "no-store",
      signal: AbortSignal.timeout(MOST_WAIT_MS),
    });
    return answer.status !== AWAY;
  } catch {
    return false; // nobody answers
  }
}

async function look() {
  if (document.hidden) return;
  if (await isBack()) location.reload();
  else lookLater();
}

function lookLater() {
  clearTimeout(timer);
  timer = setTimeout(look, PACE_MS * (1 + Math.random() * JITTER));
}

document.addEventListener("visibilitychange", lookLater);
lookLater();
