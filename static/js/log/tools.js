// The buttons and keys of a log. Single keys act only while the log has the focus (WCAG 2.1.4).

const KEYS = {
  f: "follow",
  w: "wrap",
  t: "ts",
  e: "error",
  E: "previous-error",
  n: "next",
  N: "prev",
  g: "top",
  G: "end",
  z: "fold",
  y: "copy",
  c: "copy-lines",
  Home: "top",
  End: "end",
};
const UPWARD_KEYS = new Set(["ArrowUp", "PageUp"]);

const ACTIONS = {
  follow: (viewer) => viewer.isLive && viewer.follow(!viewer.isFollowing),
  end: (viewer) => (viewer.isLive ? viewer.follow(true) : viewer.goToEnd()),
  top: (viewer) => viewer.goToStart(),
  wrap: (viewer) => viewer.toggleWrap(),
  ts: (viewer) => viewer.toggleTime(),
  fold: (viewer) => viewer.toggleFolds(),
  error: (viewer) => viewer.goToError(1),
  "previous-error": (viewer) => viewer.goToError(-1),
  next: (viewer) => viewer.searchBox.step(1),
  prev: (viewer) => viewer.searchBox.step(-1),
  stick: (viewer) => viewer.goToGroup(),
  full: (viewer) => viewer.toggleFull(),
  copy: (viewer) => viewer.selection.copyLink(),
  "copy-lines": (viewer) => viewer.selection.copyLines(),
};

export function listenToTools(viewer) {
  viewer.addEventListener("click", (event) => {
    const tool = event.target.closest("[data-act]");
    if (tool) ACTIONS[tool.dataset.act]?.(viewer);
  });
  viewer.addEventListener("keydown", (event) => handleKey(viewer, event));
  viewer.scroller.addEventListener("wheel", (event) => event.deltaY < 0 && viewer.follow(false), {
    passive: true,
  });
}

function handleKey(viewer, event) {
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key === "f" && document.activeElement !== viewer.searchBox.field) {
    event.preventDefault();
    viewer.searchBox.focus();
    return;
  }
  if (isCommand || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "Escape" && viewer.isFull) viewer.toggleFull();
  if (UPWARD_KEYS.has(event.key)) viewer.follow(false);
  if (event.key === "/") {
    event.preventDefault();
    viewer.searchBox.focus();
  } else if (event.key in KEYS) {
    event.preventDefault();
    ACTIONS[KEYS[event.key]](viewer);
  }
}
