"""A log of a million lines in a real browser: what it costs stays bounded, and the reader goes where they want.

The design's budgets are milliseconds on a quiet machine; what is held here is what they follow from (how many lines
are fetched and drawn, how much memory is taken), and the times with much slack.
"""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.demo_board import empty_board

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LINES = 1_000_000
FIRST_LINES_MS = 5_000
HEAP_BYTES = 20_000_000
FILL = f"from tests.long_log import make_long_job\nprint(make_long_job({LINES}).pk)"
SCROLL = """async () => {
  const scroller = document.querySelector("[data-scroll]");
  const times = [];
  let last = performance.now();
  for (let step = 0; step < 60; step++) {
    scroller.scrollTop += 60;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    times.push(performance.now() - last);
    last = performance.now();
  }
  return times.sort((one, other) => one - other)[times.length / 2];
}"""


@pytest.fixture(scope="module")
def board() -> Iterator[RunningBoard]:
    """A board that builds nothing."""
    with empty_board() as running:
        yield running


@pytest.fixture(scope="module")
def million(board: RunningBoard) -> str:
    """The path of a job with a log of a million lines."""
    return f"/jobs/{board.run(FILL).strip()}/"


@pytest.fixture
def reader(browser: Browser, board: RunningBoard) -> Iterator[Reader]:
    """Somebody who is signed in there."""
    person = Reader(browser, board)
    yield person
    person.context.close()


def fetched_lines(requests: list[Request]) -> int:
    """How many lines were asked for."""
    asked = [urlsplit(one.url) for one in requests if "/log/lines?" in one.url]
    return sum(int(parse_qs(one.query)["n"][0]) for one in asked)


def test_a_million_lines_open_scroll_and_are_linked_to_at_the_cost_of_a_few(
    reader: Reader, million: str
) -> None:
    requests: list[Request] = []
    reader.page.on("request", lambda request: requests.append(request))
    reader.page.goto(f"{reader.address}{million}")
    first = reader.page.locator("bb-log .lx", has_text="ice_library.o").first
    first.wait_for(timeout=FIRST_LINES_MS)

    assert fetched_lines(requests) <= 1000
    requests.clear()
    reader.page.goto("about:blank")
    reader.page.goto(f"{reader.address}{million}?attempt=1#L765432-L765440")
    chosen = reader.page.locator("bb-log .ll.sel:not(.ph)")
    expect(chosen).to_have_count(9, timeout=FIRST_LINES_MS)
    assert chosen.first.locator(".ln").inner_text() == "765432"
    assert fetched_lines(requests) <= 2000

    median = float(reader.page.evaluate(SCROLL))
    scroller = reader.page.locator("[data-scroll]")
    scroller.press("End")
    expect(reader.page.locator("bb-log .lx", has_text=f"{LINES:09}  CC")).to_be_visible()
    scroller.press("Home")
    reader.page.locator("bb-log .ln", has_text="1").first.wait_for()

    assert median < 100
    assert reader.page.locator("bb-log .ll").count() < 60
    assert int(reader.page.evaluate("performance.memory.usedJSHeapSize")) < HEAP_BYTES
    assert reader.complaints == []


def test_a_million_lines_are_searched_on_the_server(reader: Reader, million: str) -> None:
    reader.page.goto(f"{reader.address}{million}")
    reader.page.locator("[data-q]").fill("000765432  cc")

    expect(reader.page.locator("[data-hits]")).to_have_text("1 of 1")
    expect(reader.page.locator("bb-log .ll.cur .lx")).to_contain_text("000765432")
    assert reader.complaints == []
