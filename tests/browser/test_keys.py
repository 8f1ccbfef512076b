"""Every key that the page of keys lists, pressed: what is then seen. And dialogs there and back without a pointer."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browsers import WAIT_MS, Reader
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The keys of a section; what is pressed together is one.
LISTED = """(id) => [...document.querySelectorAll(`section[aria-labelledby=${id}] dl > *`)].flatMap((part) => {
  const keys = [...part.querySelectorAll("kbd")].map((key) => key.textContent);
  return part.tagName === "DT" ? keys.join("+") : keys;
})"""
# Behind the last of a dialog comes the browser's own frame, never the page below.
LEFT_FOR_THE_PAGE = """(dialog) => {
  const at = document.activeElement;
  return at !== document.body && !dialog.contains(at);
}"""
TALLEST_ROW = (
    """() => Math.max(...[...document.querySelectorAll("bb-log .ll")].map((row) => row.offsetHeight))"""
)
ONE_LINE_PX = 30
ERRORS = ["a.c:1:2: error: first", "b.c:3:4: error: second", "--- finished: exit code 1"]
# The command itself is in the log, too: there these words are parted.
BEFORE = "echo '::group::Unpack'; seq 1 300; echo '::endgroup::'; echo 'a.c:1:2: err''or: first'; echo 'nee''dle one'"
AFTER = "echo 'b.c:3:4: err''or: second'; seq -s ' ' 400; echo 'nee''dle two'; seq 301 900; exit 1"

Check = Callable[[Reader], None]


def press(reader: Reader, key: str) -> None:
    """A key, wherever the focus is."""
    reader.page.keyboard.press(key)


def listed(reader: Reader, section: str) -> list[str]:
    """The keys that the page of keys lists."""
    reader.page.goto(f"{reader.address}/keys/")
    keys: list[str] = reader.page.evaluate(LISTED, section)
    return keys


def press_all(reader: Reader, checks: dict[str, Check]) -> None:
    """Each key, and what is then seen."""
    for check in checks.values():
        check(reader)


def tool(reader: Reader, name: str) -> Locator:
    """A button of the log."""
    return reader.page.locator(f"bb-log [data-act={name}]")


def hit(reader: Reader) -> Locator:
    """The line of the hit at which the reader is."""
    return reader.page.locator("bb-log .ll.cur .lx")


def chosen(reader: Reader, part: str = ".lx") -> Locator:
    """The chosen line."""
    return reader.page.locator(f"bb-log .ll.sel {part}")


def pasted(reader: Reader) -> str:
    """What is on the clipboard, by way of the search field, which is empty again afterwards."""
    field = reader.page.locator("[data-q]")
    field.fill("")
    field.press("Control+V")
    text = field.input_value()
    field.press("Escape")
    return text


# ---- on every page --------------------------------------------------------------------------------------


def shows_the_keys(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/jobs/")
    press(reader, "?")
    expect(reader.page.locator("#keys-dialog")).to_be_visible()


def goes_to_the_search(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/jobs/")
    press(reader, "/")
    expect(reader.page.locator("main [type=search]")).to_be_focused()
    expect(reader.page.locator("main [type=search]")).to_have_value("")


def sends_the_form(reader: Reader, *, repository: Path) -> None:
    reader.submit(repository, "true")  # by this key


def closes_the_dialog(reader: Reader) -> None:
    shows_the_keys(reader)
    press(reader, "Escape")
    expect(reader.page.locator("#keys-dialog")).to_be_hidden()


# ---- in a log -------------------------------------------------------------------------------------------


def searches(reader: Reader) -> None:
    press(reader, "/")
    expect(reader.page.locator("[data-q]")).to_be_focused()
    reader.page.keyboard.type("needle")
    expect(reader.page.locator("[data-hits]")).to_have_text("1 of 2")
    press(reader, "Tab")  # out of the field, in which letters are letters


def goes_to_the_next_hit(reader: Reader) -> None:
    expect(hit(reader)).to_have_text("needle one")
    press(reader, "n")
    expect(hit(reader)).to_have_text("needle two")


def goes_to_the_hit_before(reader: Reader) -> None:
    press(reader, "N")
    expect(hit(reader)).to_have_text("needle one")


def goes_to_the_next_error(reader: Reader) -> None:
    for text in (*ERRORS, ERRORS[0]):
        press(reader, "e")
        expect(chosen(reader)).to_have_text(text)


def goes_to_the_error_before(reader: Reader) -> None:
    for text in (ERRORS[2], ERRORS[1]):
        press(reader, "E")
        expect(chosen(reader)).to_have_text(text)


def follows(reader: Reader) -> None:
    for pressed in ("false", "true"):
        press(reader, "f")
        expect(tool(reader, "follow")).to_have_attribute("aria-pressed", pressed)


def switches_times(reader: Reader) -> None:
    for shown in (r"^\d\d:\d\d:\d\d$", r"^$", r"^\d+:\d\d$"):
        press(reader, "t")
        expect(chosen(reader, ".lt")).to_have_text(re.compile(shown))


def wraps(reader: Reader) -> None:
    press(reader, "w")
    reader.page.wait_for_function(f"({TALLEST_ROW})() > {ONE_LINE_PX}")
    press(reader, "w")
    reader.page.wait_for_function(f"({TALLEST_ROW})() < {ONE_LINE_PX}")


def folds(reader: Reader) -> None:
    heads = reader.page.locator("bb-log .ll.grp button")
    for is_open, others in (("false", "true"), ("true", "false")):
        press(reader, "z")
        expect(heads.first).to_have_attribute("aria-expanded", is_open)
        expect(reader.page.locator(f"bb-log .ll.grp [aria-expanded={others}]")).to_have_count(0)


def goes_to_the_start(reader: Reader) -> None:
    position = reader.page.locator("[data-pos]")
    press(reader, "End")
    expect(position).not_to_have_text(re.compile("^1–"))
    press(reader, "g")
    expect(position).to_have_text(re.compile("^1–"))


def goes_to_the_end(reader: Reader) -> None:
    press(reader, "G")
    expect(reader.page.locator("bb-log .lx", has_text=re.compile("^900$"))).to_be_visible()


def copies_a_link(reader: Reader) -> None:
    press(reader, "y")
    address = reader.page.url
    assert re.search(r"\?attempt=1#L\d+$", address)
    wait_for(lambda: pasted(reader) == address, what="the link on the clipboard")


def copies_the_lines(reader: Reader) -> None:
    press(reader, "c")
    wait_for(lambda: pasted(reader) == ERRORS[1], what="the line on the clipboard")


IN_A_LOG: dict[str, Check] = {
    "/": searches,
    "n": goes_to_the_next_hit,
    "N": goes_to_the_hit_before,
    "e": goes_to_the_next_error,
    "E": goes_to_the_error_before,
    "f": follows,
    "t": switches_times,
    "w": wraps,
    "z": folds,
    "g": goes_to_the_start,
    "G": goes_to_the_end,
    "y": copies_a_link,
    "c": copies_the_lines,
}


def check_dialog(reader: Reader, name: str, *, key: str) -> None:
    """Opened by this key, gone through with Tab, closed: the focus is where it was."""
    page = reader.page
    page.evaluate("() => { window.openedFrom = document.activeElement; }")
    dialog = page.locator(f"#{name}")
    press(reader, key)
    expect(dialog).to_be_visible()
    for step in ("Tab", "Tab", "Tab", "Tab", "Shift+Tab", "Shift+Tab"):
        press(reader, step)
        assert dialog.evaluate(LEFT_FOR_THE_PAGE) is False
    press(reader, "Escape")
    expect(dialog).to_be_hidden()
    page.wait_for_function("() => document.activeElement === window.openedFrom")


def test_every_key_of_every_page_does_what_is_listed(reader: Reader, repository: Path) -> None:
    checks: dict[str, Check] = {
        "Ctrl+Enter": partial(sends_the_form, repository=repository),  # first: an empty board has no search
        "?": shows_the_keys,
        "/": goes_to_the_search,
        "Esc": closes_the_dialog,
    }
    assert sorted(listed(reader, "keys-everywhere")) == sorted(checks)

    press_all(reader, checks)

    assert reader.complaints == []


def test_every_key_of_a_log_does_what_is_listed(reader: Reader, repository: Path, tmp_path: Path) -> None:
    assert sorted(listed(reader, "keys-log")) == sorted(IN_A_LOG)
    go = tmp_path / "go"
    reader.submit(repository, f"{BEFORE}; while [ ! -e {go} ]; do sleep 0.1; done; {AFTER}")
    log = reader.page.locator("[data-scroll]")
    expect(tool(reader, "follow")).to_have_attribute("aria-pressed", "true")
    log.focus()
    IN_A_LOG["f"](reader)
    go.touch()
    reader.wait_for_badge("Failed")
    expect(reader.page.locator("[data-stream]")).to_have_text("complete", timeout=2 * WAIT_MS)
    reader.page.reload()
    expect(reader.page.locator("[data-errs]")).to_have_text("3 errors")
    log.press("Home")

    press_all(reader, {key: check for key, check in IN_A_LOG.items() if key != "f"})

    press(reader, "g")
    press(reader, "f")  # there is nothing to follow any more
    expect(reader.page.locator("[data-pos]")).to_have_text(re.compile("^1–"))
    expect(log).to_be_focused()
    check_dialog(reader, "keys-dialog", key="?")
    reader.page.get_by_role("link", name="Retry").focus()
    check_dialog(reader, "retry-dialog", key="Enter")
    assert reader.complaints == []
