// Page furniture: theme, copy buttons, relative times, dialogs, keys. The theme lives in a cookie so that the
// server writes data-theme into the page: no flash, no inline script.

import { copyText } from "./clipboard.js";

const root = document.documentElement;
const THEME_SECONDS = 31536000;
const COPIED_MS = 1500;

const isDark = matchMedia("(prefers-color-scheme: dark)");
const THEME_LOOKS = {
  "": ["monitor", "as the system has it"],
  "bb-light": ["sun", "light"],
  "bb-dark": ["moon", "dark"],
};

function chosenTheme() {
  return document.cookie.match(/(?:^|; )bb_theme=(bb-light|bb-dark)(?:;|$)/)?.[1] ?? "";
}

// The server has written the theme already, but for error pages, which know no request.
function applyTheme() {
  const chosen = chosenTheme();
  if (chosen || isDark.matches) root.dataset.theme = chosen || "bb-dark";
  else delete root.dataset.theme;
  const [icon, words] = THEME_LOOKS[chosen];
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-label", `Theme: ${words}`);
    button.title = `Theme: ${words}`;
    button.querySelector("use")?.setAttribute("href", `#i-${icon}`);
  }
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.value === chosen));
  }
}

// From the system's to the other one, so that the first press shows something; then to its like, and back.
function switchTheme() {
  const [like, other] = isDark.matches ? ["bb-dark", "bb-light"] : ["bb-light", "bb-dark"];
  const next = { "": other, [other]: like, [like]: "" }[chosenTheme()];
  document.cookie = `bb_theme=${next}; path=/; max-age=${next ? THEME_SECONDS : 0}; samesite=lax`;
  applyTheme();
  dispatchEvent(new Event("bb:theme"));
}

// data-copy is the text itself, or "#id" of an element whose text is meant.
async function copyOf(button) {
  const wanted = button.dataset.copy;
  const source = wanted.startsWith("#") ? document.querySelector(wanted) : null;
  if (await copyText(source ? source.textContent : wanted)) showCopied(button);
  else if (source) getSelection().selectAllChildren(source); // marked, to be copied by hand
}

function showCopied(button) {
  if ("copied" in button.dataset) return;
  const icon = button.querySelector("use");
  const [label, shape] = [button.getAttribute("aria-label"), icon.getAttribute("href")];
  button.dataset.copied = "";
  button.setAttribute("aria-label", "Copied");
  icon.setAttribute("href", "#i-check");
  setTimeout(() => {
    delete button.dataset.copied;
    if (label === null) button.removeAttribute("aria-label");
    else button.setAttribute("aria-label", label);
    icon.setAttribute("href", shape);
  }, COPIED_MS);
}

// Without JavaScript the link leads to a page that asks the same question.
function openDialog(event, link) {
  const dialog = document.getElementById(link.dataset.dialog);
  if (!dialog?.showModal) return;
  event.preventDefault();
  dialog.showModal();
}

function handleClick(event) {
  if (event.target.closest("[data-theme-toggle]")) {
    event.preventDefault(); // its form is for browsers without JavaScript
    switchTheme();
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyOf(copy);
  const opener = event.target.closest("[data-dialog]");
  if (opener) openDialog(event, opener);
  const closer = event.target.closest("[data-close]");
  const dialog = closer?.closest("dialog");
  if (dialog) {
    event.preventDefault(); // outside a dialog it is the link back
    dialog.close();
  }
}

function age(seconds) {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

function duration(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds / 60) % 60)}m`;
}

// <time data-rel> shows an age, <time data-since> a running duration. Ticked here, so that a polled page needs
// no swap only to grow older.
function tickTimes() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-rel], time[data-since]")) {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000));
    const text = time.hasAttribute("data-since") ? duration(seconds) : age(seconds);
    if (time.textContent !== text) time.textContent = text;
  }
}

// One click too many does not submit a form twice; coming back to the page allows it again.
function sendOnce(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
}

function allowSending() {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
}

// A whole error that lies over the rows goes away on Escape, until the pointer or the focus comes back to it.
function putErrorsAway() {
  for (const error of document.querySelectorAll(".err:hover, .err:focus-within")) error.dataset.away = "";
}

function mayShowErrorAgain(event) {
  const error = event.target.closest?.(".err[data-away]");
  if (error && !error.contains(event.relatedTarget)) delete error.dataset.away;
}

// "/" goes to the page's search, "?" shows all keys; Ctrl+Enter sends a form that says data-submit-key.
function handleKey(event) {
  if (event.key === "Escape") putErrorsAway();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const form = event.target.closest("form[data-submit-key]");
    if (form) {
      event.preventDefault();
      form.requestSubmit();
    }
    return;
  }
  if (!["/", "?"].includes(event.key) || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, textarea, select, dialog") || root.dataset.keys === "off") return;
  if (event.key === "?") {
    document.getElementById("keys-dialog")?.showModal();
    return;
  }
  if (event.target.closest("bb-log")) return;
  const search = document.querySelector("main [type=search], .topbar [type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
}

applyTheme();
isDark.addEventListener("change", applyTheme);
document.addEventListener("click", handleClick);
document.addEventListener("submit", sendOnce);
addEventListener("pageshow", allowSending);
document.addEventListener("pointerout", mayShowErrorAgain);
document.addEventListener("focusout", mayShowErrorAgain);
document.addEventListener("keydown", handleKey);
setInterval(tickTimes, 1000);
tickTimes();
