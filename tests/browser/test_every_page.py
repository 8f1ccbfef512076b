"""Every page, in both themes, on a desk and on a phone: readable by everybody, quiet, and not too wide.

axe-core finds nothing against WCAG, the console says nothing (nor the Content-Security-Policy through it), and
nothing scrolls sideways.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.demo_board import EMPTY, OUTSIDE, PAGES, demo_board, empty_board
from tests.screenshots import THEMES, WIDTHS, wear

# Some thirty pages a test.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

LOOKS = [(width, theme) for width in WIDTHS.values() for theme in THEMES]
_MISSING = (
    "Failed to load resource: the server responded with a status of 404"  # of the page that is not there
)


@pytest.fixture(scope="module")
def full() -> Iterator[tuple[RunningBoard, Mapping[str, str]]]:
    with demo_board() as found:
        yield found


@pytest.fixture(scope="module")
def empty() -> Iterator[RunningBoard]:
    with empty_board() as board:
        yield board


def wrong_with(person: Reader, address: str) -> list[Any]:
    """What a page does not keep of the rules; an empty list is a page as it should be."""
    person.complaints.clear()
    person.page.goto(person.address + address)
    person.page.wait_for_load_state("networkidle")
    found = [
        (violation["id"], [node["target"] for node in violation["nodes"]][:5])
        for violation in Axe().run(person.page).response["violations"]
    ]
    complaints = [text for text in person.complaints if not text.startswith(_MISSING)]
    return [*found, *complaints, *([f"{person.sideways} px too wide"] if person.sideways else [])]


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_every_page_keeps_the_rules(
    browser: Browser, full: tuple[RunningBoard, Mapping[str, str]], width: int, theme: str
) -> None:
    board, ids = full
    person = Reader(browser, board, width=width)
    wear(person, theme)

    wrong = {name: wrong_with(person, address.format(**ids)) for name, address in PAGES.items()}
    person.context.clear_cookies(name="sessionid")
    wrong |= {name: wrong_with(person, address) for name, address in OUTSIDE.items()}

    assert {name: found for name, found in wrong.items() if found} == {}
    person.context.close()


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_every_page_of_an_empty_board_does(
    browser: Browser, empty: RunningBoard, width: int, theme: str
) -> None:
    person = Reader(browser, empty, width=width)
    wear(person, theme)

    wrong = {name: wrong_with(person, address) for name, address in EMPTY.items()}

    assert {name: found for name, found in wrong.items() if found} == {}
    person.context.close()
