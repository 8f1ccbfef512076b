// What a reader has opened, typed or scrolled survives a polled morph swap. idiomorph alone syncs attributes
// from the server's HTML, so it would close what was opened and wipe what was typed.
//
//   <details id>             stays open or closed once the reader has touched it
//   <dialog id>              stays open; what it says follows the server
//   the focused field        keeps its value and caret
//   [data-keep-scroll][id]   keeps its scroll offset
//   [data-keep][id]          is never touched (the log, a chart under the pointer)

const touchedDetails = new WeakSet();

function rememberTouchedDetails(event) {
  const summary = event.target.closest?.("summary");
  if (summary) touchedDetails.add(summary.parentElement);
}

function mayUpdateAttribute(name, node) {
  if (name === "open" && node.tagName === "DETAILS") return !touchedDetails.has(node);
  if (name === "open" && node.tagName === "DIALOG") return false;
  if (name === "value") return node !== document.activeElement;
  return true;
}

function mayMorphNode(node) {
  return !(node.nodeType === Node.ELEMENT_NODE && node.hasAttribute("data-keep"));
}

const savedScroll = new Map();

function saveScroll() {
  savedScroll.clear();
  for (const element of document.querySelectorAll("[data-keep-scroll][id]")) {
    if (element.scrollTop || element.scrollLeft) {
      savedScroll.set(element.id, [element.scrollTop, element.scrollLeft]);
    }
  }
}

function restoreScroll() {
  for (const [id, [top, left]] of savedScroll) {
    const element = document.getElementById(id);
    if (!element || (element.scrollTop === top && element.scrollLeft === left)) continue;
    element.scrollTop = top;
    element.scrollLeft = left;
  }
}

document.addEventListener("click", rememberTouchedDetails, true);
document.addEventListener("htmx:beforeSwap", saveScroll);
document.addEventListener("htmx:afterSwap", restoreScroll);

if (globalThis.Idiomorph) {
  const defaults = globalThis.Idiomorph.defaults;
  defaults.ignoreActiveValue = true;
  defaults.restoreFocus = true;
  defaults.callbacks.beforeAttributeUpdated = mayUpdateAttribute;
  defaults.callbacks.beforeNodeMorphed = mayMorphNode;
}
