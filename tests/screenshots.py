"""`python -m tests.screenshots [FOLDER] [PAGE ...]`: a picture of every page, 1280 and 390 px wide, light and dark.

It starts boards of its own, fills them and ends them; FOLDER is docs/screenshots unless it is named.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.boards import ROOT, RunningBoard
from tests.browsers import Reader, chromium
from tests.demo_board import (
    EMPTY,
    OUTSIDE,
    PAGES,
    SERVERLESS,
    demo_board,
    empty_board,
    wait_for_a_server,
)
from tests.demo_states import STATES, Ids, State, opened

THEMES = ("light", "dark")
WIDTHS = {"desktop": 1280, "phone": 390}
_TALLEST = 4000
# The bar at the foot of a phone's window would lie across the middle of the page that is taken whole.
_BAR_TO_THE_END = """() => {
  const bar = document.querySelector('.bdock');
  if (bar) bar.style.position = 'static';
}"""


def main(folder: Path, names: list[str]) -> None:
    """Take all of them, or those named, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    of_pages, of_states = _chosen(_pages(PAGES), names), _chosen(STATES, names)
    outside = _chosen(_pages(OUTSIDE), names)
    empty, serverless = _chosen(_pages(EMPTY), names), _chosen(_pages(SERVERLESS), names)
    with chromium() as browser:
        if of_pages or of_states or outside:
            with demo_board() as (board, ids):
                _take(browser, board, ids, folder=folder, states=of_pages)
                _take(browser, board, ids, folder=folder, states=of_states)
                _take_outside(browser, board, folder=folder, states=outside)
        if empty or serverless:
            with empty_board() as board:
                _take(browser, board, {}, folder=folder, states=empty)
                _take(browser, board, wait_for_a_server(board), folder=folder, states=serverless)


def _pages(addresses: Mapping[str, str]) -> dict[str, State]:
    return {
        name: State(opened(address, status=404 if name == "not-found" else 200))
        for name, address in addresses.items()
    }


def _chosen(states: Mapping[str, State], names: list[str]) -> dict[str, State]:
    return {name: state for name, state in states.items() if not names or name in names}


def _take(
    browser: Browser, board: RunningBoard, ids: Ids, *, folder: Path, states: Mapping[str, State]
) -> None:
    """What somebody sees who is signed in."""
    for kind, width in WIDTHS.items():
        person = Reader(browser, board, width=width)
        for theme in THEMES:
            wear(person, theme)
            for name, state in states.items():
                with state.during(board):
                    state.show(person, ids)
                    picture(person.page, folder / f"{name}-{kind}-{theme}.png")
        person.context.close()


def _take_outside(
    browser: Browser, board: RunningBoard, *, folder: Path, states: Mapping[str, State]
) -> None:
    for kind, width in WIDTHS.items():
        person = Reader(browser, board, width=width)
        person.context.clear_cookies(name="bb_session")
        for theme in THEMES:
            wear(person, theme)
            for name, state in states.items():
                state.show(person, {})
                picture(person.page, folder / f"{name}-{kind}-{theme}.png")
        person.context.close()


def wear(person: Reader, theme: str) -> None:
    """Have every page that follows in this theme."""
    cookie = {"name": "bb_theme", "value": f"bb-{theme}", "url": person.address}
    person.context.add_cookies([cookie])  # type: ignore[list-item]  # Playwright's own TypedDict


def picture(page: Page, path: Path) -> None:
    """The whole page that is open as a file, when its fonts and its log are there; of a question its window."""
    page.wait_for_load_state("networkidle")
    page.evaluate("() => document.fonts.ready.then(() => true)")
    if page.locator("dialog[open]").count():
        page.screenshot(path=path)
        return
    page.evaluate(_BAR_TO_THE_END)
    height = int(page.evaluate("() => document.documentElement.scrollHeight"))
    size = page.viewport_size or {"width": 1280, "height": 800}
    page.screenshot(
        path=path,
        full_page=True,
        clip={"x": 0, "y": 0, "width": size["width"], "height": min(height, _TALLEST)},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots", sys.argv[2:])
