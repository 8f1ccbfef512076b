"""A log of a million lines in a real browser: what it costs stays bounded, and the reader goes where they want.

The design's budgets are milliseconds on a quiet machine. Here they are held in processor time, which other work on the
machine hardly changes, and on the clock with slack. Closer than that is what they follow from: how many lines are
fetched and drawn, how much memory is taken, and that a log of a thousand lines costs as much.
"""

import json
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Request, expect

from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.demo_board import empty_board

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LINES = 1_000_000
FEW_LINES = 1_000
OPENINGS = 3
FIRST_LINES_MS = 500
LINKED_LINES_MS = 600
SEARCH_SECONDS = 1.0
CLOCK_SLACK = 10
HEAP_BYTES = 20_000_000
LINK = "L765432-L765440"
FILL = f"""
import json
from tests.log_costs import opening_costs, search_costs
from tests.long_log import make_long_job

few, many = make_long_job({FEW_LINES}), make_long_job({LINES})
opening = opening_costs(few, many, lines=({FEW_LINES // 2}, 765_000))
search = search_costs(many, text="000765432  cc")
print(json.dumps([str(few.pk), str(many.pk), opening, search]))
"""
# Sixty frames on (or back); the slowest of them.
SCROLL = """async (way) => {
  const scroller = document.querySelector("[data-scroll]");
  const times = [];
  let last = performance.now();
  for (let step = 0; step < 60; step++) {
    scroller.scrollTop += way * 60;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    times.push(performance.now() - last);
    last = performance.now();
  }
  return Math.max(...times);
}"""
FRAME_MS = 36  # of 99 % of frames while scrolling, on a calm machine


class Logs(NamedTuple):
    """The paths of jobs with a short log and a long one, and what these cost the server (log_costs.py)."""

    few: str
    many: str
    opening: dict[str, list[float]]
    search: list[float]


class Cost(NamedTuple):
    """Milliseconds: on the clock until it was there, and of processor time of the page's thread until all was."""

    clock: float
    work: float


@pytest.fixture(scope="module")
def board() -> Iterator[RunningBoard]:
    """A board that builds nothing."""
    with empty_board() as running:
        yield running


@pytest.fixture(scope="module")
def logs(board: RunningBoard) -> Logs:
    """A log of a thousand lines and one of a million."""
    few, many, opening, search = json.loads(board.run(FILL))
    return Logs(f"/jobs/{few}/", f"/jobs/{many}/", opening, search)


@pytest.fixture(scope="module")
def reader(browser: Browser, board: RunningBoard) -> Iterator[Reader]:
    """Somebody who is signed in there."""
    person = Reader(browser, board)
    yield person
    person.context.close()


@pytest.fixture
def thread(reader: Reader) -> Iterator[CDPSession]:
    """Asks for the processor time of the page's thread."""
    session = reader.context.new_cdp_session(reader.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    yield session
    session.detach()


def worked_ms(thread: CDPSession) -> float:
    """The processor time of the page's thread since it was opened."""
    metrics = thread.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def open_log(reader: Reader, path: str, *, thread: CDPSession) -> Cost:
    """Go to a job's page and wait for its first lines, or those that the link leads to, then for the outline."""
    page = reader.page
    page.goto("about:blank")
    begin = time.perf_counter()
    with page.expect_response(lambda answer: "/log/outline?" in answer.url):
        page.goto(f"{reader.address}{path}")
        shown = page.locator("bb-log .ll.sel:not(.ph)" if "#" in path else "bb-log .ll:not(.ph)")
        shown.first.wait_for()
        clock = time.perf_counter() - begin
    return Cost(1000 * clock, worked_ms(thread))


def scroll(page: Page, *, thread: CDPSession) -> Cost:
    """The slowest frame of the calmest of three rounds of scrolling, in ms, and what the rounds cost."""
    before = worked_ms(thread)
    # What else runs takes a frame now and then: of three rounds the calmest counts.
    frame = min(float(page.evaluate(SCROLL, way)) for way in (1, -1, 1))
    return Cost(frame, worked_ms(thread) - before)


def fetched_lines(requests: list[Request]) -> int:
    """How many lines were asked for."""
    asked = [urlsplit(one.url) for one in requests if "/log/lines?" in one.url]
    return sum(int(parse_qs(one.query)["n"][0]) for one in asked)


@pytest.mark.parametrize("part", ["page", "first lines", "linked lines", "outline"])
def test_a_million_lines_cost_the_server_as_much_to_open_as_a_thousand(logs: Logs, part: str) -> None:
    few, many = logs.opening[part]

    assert many < 1.5 * few + 0.01


def test_a_search_of_a_million_lines_is_a_few_plain_passes_through_what_is_stored(logs: Logs) -> None:
    plain, searched = logs.search

    assert searched < 5 * plain
    assert searched < SEARCH_SECONDS


def test_a_million_lines_open_and_scroll_as_a_thousand_do(
    reader: Reader, logs: Logs, thread: CDPSession
) -> None:
    paths = (logs.few, logs.many, f"{logs.many}?attempt=1#{LINK}")
    costs: list[list[Cost]] = [[], [], []]
    scrolls: list[Cost] = []
    for _ in range(OPENINGS):
        for path, found in zip(paths, costs, strict=True):
            found.append(open_log(reader, path, thread=thread))
            if len(scrolls) < 2:
                scrolls.append(scroll(reader.page, thread=thread))
    few, many, linked = (Cost(*map(statistics.median, zip(*found, strict=True))) for found in costs)
    few_scrolled, many_scrolled = scrolls

    assert many.work < min(1.25 * few.work + 30, FIRST_LINES_MS)
    assert linked.work < min(1.25 * few.work + 60, LINKED_LINES_MS)
    assert many.clock < min(2 * few.clock + 500, CLOCK_SLACK * FIRST_LINES_MS)
    assert linked.clock < min(2 * few.clock + 500, CLOCK_SLACK * LINKED_LINES_MS)
    assert many_scrolled.work < 1.25 * few_scrolled.work + 120
    assert many_scrolled.clock < max(3 * FRAME_MS, 2 * few_scrolled.clock + FRAME_MS)
    assert reader.complaints == []


def test_a_million_lines_are_fetched_and_kept_in_part(reader: Reader, logs: Logs, thread: CDPSession) -> None:
    requests: list[Request] = []
    reader.page.on("request", lambda request: requests.append(request))
    open_log(reader, logs.many, thread=thread)

    assert fetched_lines(requests) <= 1000
    requests.clear()
    open_log(reader, f"{logs.many}?attempt=1#{LINK}", thread=thread)
    chosen = reader.page.locator("bb-log .ll.sel:not(.ph)")
    expect(chosen).to_have_count(9)
    assert chosen.first.locator(".ln").inner_text() == "765432"
    assert fetched_lines(requests) <= 2000

    scroller = reader.page.locator("[data-scroll]")
    scroller.press("End")
    expect(reader.page.locator("bb-log .lx", has_text=f"{LINES:09}  CC")).to_be_visible()
    scroller.press("Home")
    reader.page.locator("bb-log .ln", has_text="1").first.wait_for()

    assert reader.page.locator("bb-log .ll").count() < 60
    assert int(reader.page.evaluate("performance.memory.usedJSHeapSize")) < HEAP_BYTES
    assert reader.complaints == []


def test_a_million_lines_are_searched_on_the_server(reader: Reader, logs: Logs) -> None:
    reader.page.goto(f"{reader.address}{logs.many}")
    reader.page.locator("[data-q]").fill("000765432  cc")

    expect(reader.page.locator("[data-hits]")).to_have_text("1 of 1")
    expect(reader.page.locator("bb-log .ll.cur .lx")).to_contain_text("000765432")
    assert reader.complaints == []
