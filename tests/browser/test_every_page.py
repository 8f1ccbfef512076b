"""Every page, in both themes, on a desk and on a phone: readable by everybody, quiet, and not too wide.

axe-core finds nothing against WCAG, the console says nothing (nor the Content-Security-Policy through it), and
nothing scrolls sideways. So it is with errors, questions and refused forms, and while the database is away.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.demo_board import EMPTY, OUTSIDE, PAGES, demo_board, empty_board
from tests.screenshots import WIDTHS

# Some thirty pages a test.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

# Of the other theme only the colours are looked at again: the rest is the same page.
RULES: Mapping[Literal["light", "dark"], dict[str, Any]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},
}
# Colours go over into those of another theme: until each has arrived.
SETTLE = """async () => {
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  const fading = document.getAnimations().filter((one) => one instanceof CSSTransition);
  await Promise.allSettled(fading.map((one) => one.finished));
}"""
# Django's own look, under the board's Content-Security-Policy.
ADMIN = {"admin": "/admin/", "admin-servers": "/admin/servers/buildserver/"}
# What the browser itself says of an answer with the status of an error.
_REFUSED = "Failed to load resource: the server responded with a status of"
# The same of polls, htmx and the log's socket, while the database is away on purpose.
_AWAY = (f"{_REFUSED} 503", "Response Status Error Code 503", "WebSocket connection to")


@pytest.fixture(scope="module")
def full() -> Iterator[tuple[RunningBoard, Mapping[str, str]]]:
    with demo_board() as found:
        yield found


@pytest.fixture(scope="module")
def empty() -> Iterator[RunningBoard]:
    with empty_board() as board:
        yield board


def wrong_with(person: Reader, address: str, *, status: int = HTTPStatus.OK) -> list[Any]:
    """What a page does not keep of the rules; an empty list is a page as it should be."""
    person.complaints.clear()
    answer = person.page.goto(person.address + address)
    found = [answer.status] if answer and answer.status != status else []
    return [*found, *wrong_here(person, status=status)]


def wrong_here(person: Reader, *, status: int = HTTPStatus.OK) -> list[Any]:
    """The same of what is shown now, as an answer of this status."""
    person.page.wait_for_load_state("networkidle")
    found = []
    for theme, options in RULES.items():
        person.page.emulate_media(color_scheme=theme)
        person.page.evaluate(SETTLE)
        found += [
            (theme, violation["id"], [node["target"] for node in violation["nodes"]][:5])
            for violation in Axe().run(person.page, options=options).response["violations"]
        ]
    is_error = status >= HTTPStatus.BAD_REQUEST
    complaints = [
        text for text in person.complaints if not (is_error and text.startswith(f"{_REFUSED} {status}"))
    ]
    return [*found, *complaints, *([f"{person.sideways} px too wide"] if person.sideways else [])]


@pytest.mark.parametrize("width", WIDTHS.values())
def test_every_page_keeps_the_rules(
    browser: Browser, full: tuple[RunningBoard, Mapping[str, str]], width: int
) -> None:
    board, ids = full
    person = Reader(browser, board, width=width)

    wrong = {
        name: wrong_with(person, address.format(**ids), status=404 if name == "not-found" else 200)
        for name, address in {**PAGES, **ADMIN}.items()
    }
    person.context.clear_cookies(name="bb_session")
    wrong |= {name: wrong_with(person, address) for name, address in OUTSIDE.items()}
    assert person.page.url.endswith("/login/")

    assert {name: found for name, found in wrong.items() if found} == {}
    person.context.close()


@pytest.mark.parametrize("width", WIDTHS.values())
def test_every_page_of_an_empty_board_does(browser: Browser, empty: RunningBoard, width: int) -> None:
    person = Reader(browser, empty, width=width)

    wrong = {name: wrong_with(person, address) for name, address in EMPTY.items()}

    assert {name: found for name, found in wrong.items() if found} == {}
    person.context.close()


# ---- what has no address of its own ---------------------------------------------------------------------


def ask_to_cancel(person: Reader, ids: Mapping[str, str]) -> None:
    person.page.goto(f"{person.address}/jobs/{ids['running']}/")
    person.page.get_by_role("link", name="Cancel").click()
    expect(person.page.locator("#cancel-dialog")).to_be_visible()


def ask_for_keys(person: Reader, ids: Mapping[str, str]) -> None:
    person.page.goto(f"{person.address}/jobs/")
    person.page.keyboard.press("?")
    expect(person.page.locator("#keys-dialog")).to_be_visible()


def send_too_little(person: Reader, ids: Mapping[str, str]) -> None:
    person.page.goto(f"{person.address}/jobs/new/")
    person.page.get_by_label("Time limit").fill("0")
    person.page.get_by_role("button", name="Submit build").click()
    expect(person.page.get_by_role("alert")).to_contain_text("Nothing was submitted.")


def send_an_old_form(person: Reader, ids: Mapping[str, str]) -> None:
    person.page.goto(f"{person.address}/jobs/new/")
    person.context.clear_cookies(name="bb_csrf")
    person.page.get_by_role("button", name="Submit build").click()
    expect(person.page.locator("main")).to_contain_text("This form was too old")


SHOWN: Mapping[str, tuple[Callable[[Reader, Mapping[str, str]], None], int]] = {
    "cancel": (ask_to_cancel, 200),
    "keys": (ask_for_keys, 200),
    "submit refused": (send_too_little, 422),
    "forbidden": (send_an_old_form, 403),
}


@contextmanager
def broken_tokens(board: RunningBoard) -> Iterator[None]:
    """A mistake of the board's own: one of its tables is not there."""
    board.query("ALTER TABLE core_apitoken RENAME TO core_apitoken_away")
    try:
        yield
    finally:
        board.query("ALTER TABLE core_apitoken_away RENAME TO core_apitoken")


@pytest.mark.parametrize("width", WIDTHS.values())
def test_questions_refusals_and_errors_do(
    browser: Browser, full: tuple[RunningBoard, Mapping[str, str]], width: int
) -> None:
    board, ids = full
    person = Reader(browser, board, width=width)
    wrong = {}

    for name, (show, status) in SHOWN.items():
        person.complaints.clear()
        show(person, ids)
        wrong[name] = wrong_here(person, status=status)
    with broken_tokens(board):
        wrong["error"] = wrong_with(person, "/tokens/", status=500)
    with board.without_database():
        wrong["away"] = wrong_with(person, "/jobs/", status=503)

    assert {name: found for name, found in wrong.items() if found} == {}
    person.context.close()


def test_an_open_page_stays_and_says_of_when_it_is_while_the_database_is_away(
    browser: Browser, full: tuple[RunningBoard, Mapping[str, str]]
) -> None:
    board, ids = full
    person = Reader(browser, board, width=390)
    page, other = person.page, person.context.new_page()
    page.goto(f"{person.address}/jobs/{ids['running']}/")
    live, heading = page.locator("[data-live]"), page.locator("h1").inner_text()
    expect(live).to_have_text("Live")

    with board.without_database():
        expect(live).to_have_text(re.compile(r"Reconnecting, as of \d\d:\d\d:\d\d UTC"))
        assert (page.locator("h1").inner_text(), person.sideways) == (heading, 0)
        answer = other.goto(f"{person.address}/jobs/")
        assert answer is not None
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert not (board.data_dir / "buildboard.sqlite3").exists()
    other.get_by_role("link", name="Try again").click()

    expect(other.locator("h1")).to_have_text("Jobs")
    expect(live).to_have_text("Live")
    assert 503 in person.polls
    assert [text for text in person.complaints if not text.startswith(_AWAY)] == []
    person.context.close()
