"""`python -m tests.screenshots [FOLDER] [PAGE ...]`: a picture of every page, 1280 and 390 px wide, light and dark.

It starts boards of its own, fills them and ends them; FOLDER is docs/screenshots unless it is named.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.boards import ROOT, RunningBoard
from tests.browsers import Reader, chromium
from tests.demo_board import EMPTY, OUTSIDE, PAGES, demo_board, empty_board

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
    with chromium() as browser:
        if full := _chosen({**PAGES, **OUTSIDE}, names):
            with demo_board() as (board, ids):
                _take(browser, board, folder=folder, pages={name: full[name].format(**ids) for name in full})
        if empty := _chosen(EMPTY, names):
            with empty_board() as board:
                _take(browser, board, folder=folder, pages=empty)


def _chosen(pages: Mapping[str, str], names: list[str]) -> dict[str, str]:
    return {name: address for name, address in pages.items() if not names or name in names}


def _take(browser: Browser, board: RunningBoard, *, folder: Path, pages: Mapping[str, str]) -> None:
    for kind, width in WIDTHS.items():
        person = Reader(browser, board, width=width)
        for theme in THEMES:
            wear(person, theme)
            for name, address in pages.items():
                if name in OUTSIDE:
                    continue
                picture(person.page, person.address + address, folder / f"{name}-{kind}-{theme}.png")
        _take_outside(browser, person.address, folder=folder, pages=pages, kind=kind)
        person.context.close()


def _take_outside(
    browser: Browser, address: str, *, folder: Path, pages: Mapping[str, str], kind: str
) -> None:
    for theme in THEMES:
        context = browser.new_context(viewport={"width": WIDTHS[kind], "height": 800})
        context.add_cookies([{"name": "bb_theme", "value": f"bb-{theme}", "url": address}])
        for name in OUTSIDE:
            if name in pages:
                picture(context.new_page(), address + pages[name], folder / f"{name}-{kind}-{theme}.png")
        context.close()


def wear(person: Reader, theme: str) -> None:
    """Have every page that follows in this theme."""
    cookie = {"name": "bb_theme", "value": f"bb-{theme}", "url": person.address}
    person.context.add_cookies([cookie])  # type: ignore[list-item]  # Playwright's own TypedDict


def picture(page: Page, address: str, path: Path) -> None:
    """One whole page as a file, when its fonts and its log are there."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.evaluate("() => document.fonts.ready.then(() => true)")
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
