// Puts text on the clipboard; over plain http, where browsers have no clipboard for pages, by the old way.

// Whether it is there now.
export async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // refused: the old way may still be allowed
    }
  }
  return copyByField(text);
}

function copyByField(text) {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.className = "sr-only";
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus?.({ preventScroll: true });
  return isCopied;
}
