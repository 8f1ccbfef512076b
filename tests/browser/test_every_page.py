"""Every page, in both themes, on a desk and on a phone: readable by everybody, quiet, and not too wide.

axe-core finds nothing against WCAG, the console says nothing (nor the Content-Security-Policy through it), and
nothing scrolls sideways. So it is with errors, questions and refused forms, and while the database is away.

A page is loaded once and looked at in both widths and themes; one with a log is loaded for each width, since a log
opens as its width asks for. Colours are measured of each text that looks as none before it did, on whichever page.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.demo_board import (
    EMPTY,
    OUTSIDE,
    PAGES,
    SERVERLESS,
    demo_board,
    empty_board,
    wait_for_a_server,
)
from tests.demo_states import STATES, Ids, opened
from tests.screenshots import WIDTHS

# Some forty pages a test.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
COLOURS = {"runOnly": ["color-contrast"]}
# Targets of 24 px, or with as much room around them, are a rule of WCAG 2.2 that axe leaves off by itself.
ALL_ELSE = {"rules": {"color-contrast": {"enabled": False}, "target-size": {"enabled": True}}}
EVERYTHING = {"include": [["html"]]}
ANEW = {"include": [["[data-anew]"]]}
# How the texts look whose colours were measured, on any page.
_LOOKS: dict[Theme, set[str]] = {theme: set() for theme in THEMES}
AXE = """([context, options]) => axe.run(context, { ...options, resultTypes: ["violations"] }).then(
  ({ violations }) => violations.map(({ id, nodes }) => [id, nodes.slice(0, 5).map(({ target }) => target)])
)"""
# Marks the text that is seen now and looks as none did of which a look is known; the looks that are new. The contrast
# of a text follows from its look: its colours, size and weight, and what lies behind it. Most of a page is on all.
MARK = """(known) => {
  const looks = new Set(known);
  const fresh = new Set();
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(one);
      layers.push(backgroundColor, backgroundImage, opacity);
      if (backgroundImage === "none" && /^rgb\\(/.test(backgroundColor)) break;
    }
    return layers.join();
  };
  const isText = (element) =>
    element.matches("input, select, textarea") ||
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  for (const element of document.body.querySelectorAll("*")) {
    element.removeAttribute("data-anew");
    if (!isText(element) || !element.checkVisibility()) continue;
    const { color, fill, fontSize, fontWeight, textDecorationLine, textShadow } = getComputedStyle(element);
    const look = [color, fill, fontSize, fontWeight, textDecorationLine, textShadow, behind(element)].join(" ");
    if (looks.has(look)) continue;
    fresh.add(look);
    element.setAttribute("data-anew", "");
  }
  return [...fresh];
}"""
# What a page fetches by itself when it is opened is there.
IS_SETTLED = """() => {
  const log = document.querySelector("bb-log");
  return !document.querySelector(".htmx-request, bb-log .ll.ph") && (!log || log.feed.hasOutline);
}"""
# While it is looked at nothing is swapped.
ASK_NO_MORE = "() => document.querySelectorAll('[data-poll]').forEach((one) => { one.dataset.poll = 0; })"
# The theme has come to the page, and of the board's own the script has chosen the colours.
WEARS = """(theme) => {
  if (!matchMedia(`(prefers-color-scheme: ${theme})`).matches) return false;
  const { dataset } = document.documentElement;
  return !document.querySelector("main.page") || (dataset.theme === "bb-dark") === (theme === "dark");
}"""
IS_DARK = "() => matchMedia('(prefers-color-scheme: dark)').matches"
# A new width or theme is drawn, and no colour is still on its way.
DRAW = """async () => {
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
def person(browser: Browser, full: tuple[RunningBoard, Mapping[str, str]]) -> Iterator[Reader]:
    """Somebody who is signed in on the full board."""
    someone = Reader(browser, full[0])
    yield someone
    someone.context.close()


def wrong_with(person: Reader, address: str, ids: Ids, *, status: int = HTTPStatus.OK) -> list[Any]:
    """What a page does not keep of the rules; an empty list is a page as it should be."""
    return wrong_here(person, partial(opened(address, status=status), person, ids), status=status)


def wrong_here(person: Reader, show: Callable[[], None], *, status: int = HTTPStatus.OK) -> list[Any]:
    """The same of what `show` brings onto the screen, in all widths and themes, as an answer of this status."""
    person.complaints.clear()
    person.page.emulate_media(reduced_motion="reduce")
    found: list[Any] = []
    for number, (kind, width) in enumerate(WIDTHS.items()):
        person.page.set_viewport_size({"width": width, "height": 800})
        if number == 0 or person.page.locator("bb-log").count():
            show()
            person.page.evaluate(ASK_NO_MORE)
            person.page.wait_for_function(IS_SETTLED)
            person.page.evaluate(AXE_SCRIPT)
        found += [(kind, *one) for one in wrong_in_this_width(person)]
    is_error = status >= HTTPStatus.BAD_REQUEST
    return found + [
        text for text in person.complaints if not (is_error and text.startswith(f"{_REFUSED} {status}"))
    ]


def wrong_in_this_width(person: Reader) -> Iterator[tuple[Any, ...]]:
    """The same of a page in the theme that it wears, and its colours in all."""
    worn: Theme = "dark" if person.page.evaluate(IS_DARK) else "light"
    wear(person, worn)
    if person.sideways:
        yield (f"{person.sideways} px too wide",)
    yield from person.page.evaluate(AXE, [EVERYTHING, ALL_ELSE])
    for theme in (worn, *(one for one in THEMES if one != worn)):
        if theme != worn:
            wear(person, theme)
        fresh = person.page.evaluate(MARK, sorted(_LOOKS[theme]))
        if fresh:
            _LOOKS[theme].update(fresh)
            yield from ((theme, *one) for one in person.page.evaluate(AXE, [ANEW, COLOURS]))


def wear(person: Reader, theme: Theme) -> None:
    """Draw the page in this theme."""
    person.page.emulate_media(color_scheme=theme)
    person.page.wait_for_function(WEARS, arg=theme)
    person.page.evaluate(DRAW)


def test_every_page_keeps_the_rules(person: Reader, full: tuple[RunningBoard, Mapping[str, str]]) -> None:
    wrong = {
        name: wrong_with(person, address, full[1], status=404 if name == "not-found" else 200)
        for name, address in {**PAGES, **ADMIN}.items()
    }

    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_page_of_an_empty_board_does_and_without_servers_and_the_way_in(browser: Browser) -> None:
    with empty_board() as board:
        person = Reader(browser, board)

        wrong = {name: wrong_with(person, address, {}) for name, address in EMPTY.items()}
        ids = wait_for_a_server(board)
        wrong |= {name: wrong_with(person, address, ids) for name, address in SERVERLESS.items()}
        person.context.clear_cookies(name="bb_session")
        wrong |= {name: wrong_with(person, address, {}) for name, address in OUTSIDE.items()}

        assert person.page.url.endswith("/login/")
        assert {name: found for name, found in wrong.items() if found} == {}
        person.context.close()


def test_questions_refusals_and_errors_do(
    person: Reader, full: tuple[RunningBoard, Mapping[str, str]]
) -> None:
    board, ids = full
    wrong = {}

    for name, state in STATES.items():
        with state.during(board):
            wrong[name] = wrong_here(person, partial(state.show, person, ids), status=state.status)

    assert {name: found for name, found in wrong.items() if found} == {}


def test_while_the_database_is_away_pages_stay_and_say_of_when_they_are_and_come_back_by_themselves(
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
        expect(other.get_by_role("link", name="Try again")).to_be_visible()

    expect(other.locator("h1")).to_have_text("Jobs")
    expect(live).to_have_text("Live")
    assert 503 in person.polls
    assert [text for text in person.complaints if not text.startswith(_AWAY)] == []
    person.context.close()
