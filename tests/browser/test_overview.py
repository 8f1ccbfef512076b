"""The overview and the list of jobs in a real browser: when polls come, what they bring, what they leave as it was."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browsers import Reader
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TICK_MS = 250
ACTIVE_MS, FINISHED_MS = 2_000, 10_000
COUNT = """() => {
  window.asked = 0;
  window.answered = 0;
  document.addEventListener("htmx:beforeRequest", () => { window.asked += 1; });
  document.addEventListener("htmx:afterRequest", () => { window.answered += 1; });
}"""
# Another tab in front of it, as the page is told: a browser without a window has no tab in the background.
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def count(page: Page, what: str) -> int:
    """How many polls were `asked` or `answered` since COUNT."""
    return int(page.evaluate(f"() => window.{what}"))


def wait_of_next_poll(page: Page) -> int:
    """After how many milliseconds of the page's own clock it asks again; the answer is awaited."""
    asked = count(page, "asked")
    for waited in range(TICK_MS, 2 * FINISHED_MS, TICK_MS):
        page.clock.run_for(TICK_MS)
        if count(page, "asked") > asked:
            wait_for(lambda: count(page, "answered") == asked + 1, what="an answer")
            return waited
    raise AssertionError("it asks no more")


def is_pace(waited: int, pace: int) -> bool:
    """Whether it is the pace, less or more a tenth, seen at the next tick but one at the latest."""
    return 0.9 * pace <= waited <= 1.1 * pace + 2 * TICK_MS


def test_a_page_asks_at_its_pace_and_not_at_all_while_its_tab_is_hidden(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    page, go = reader.page, tmp_path / "go"
    page.clock.install()
    reader.submit(repository, f"while [ ! -e {go} ]; do sleep 0.1; done")
    reader.wait_for_badge("Running")
    page.evaluate(COUNT)
    page.clock.pause_at(page.evaluate("() => Date.now() / 1000") + 5)
    wait_for(lambda: count(page, "asked") == count(page, "answered") > 0, what="the poll that was due")

    assert [is_pace(wait_of_next_poll(page), ACTIVE_MS) for _ in range(3)] == [True] * 3
    page.evaluate(HIDE, True)
    asked = count(page, "asked")
    expect(page.locator("[data-live]")).to_have_text("Paused")
    page.clock.run_for(6 * FINISHED_MS)
    assert count(page, "asked") == asked
    page.evaluate(HIDE, False)
    assert count(page, "asked") == asked + 1
    expect(page.locator("[data-live]")).to_have_text("Live")

    wait_for(lambda: count(page, "answered") == asked + 1, what="an answer")
    for hidden in (True, False):  # not due again
        page.evaluate(HIDE, hidden)
    assert count(page, "asked") == asked + 1
    go.touch()
    wait_for(lambda: wait_of_next_poll(page) and page.locator("#job").get_attribute("data-poll") == "10000")
    assert [is_pace(wait_of_next_poll(page), FINISHED_MS) for _ in range(2)] == [True] * 2
    assert len(reader.polls) >= count(page, "asked")
    assert reader.complaints == []


def test_a_poll_that_nobody_answers_is_given_up_and_the_page_goes_on(reader: Reader) -> None:
    page = reader.page
    page.goto(f"{reader.address}/")
    assert page.evaluate("() => htmx.config.timeout") == 15_000
    page.evaluate(
        "() => { htmx.config.timeout = 300; document.querySelector('[data-poll]').dataset.poll = 300; }"
    )
    unanswered: list[Route] = []
    page.route("**/*", lambda route: unanswered.append(route))

    expect(page.locator("[data-live]")).to_have_text(re.compile("Reconnecting, as of"))
    page.unroute("**/*")
    expect(page.locator("[data-live]")).to_have_text("Live")

    assert len(unanswered) >= 1
    assert reader.polls[-1] in (200, 204)


def test_a_build_comes_and_goes_on_the_overview_without_a_reload(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "sleep 6").split("/")[2]
    page = reader.page
    page.goto(f"{reader.address}/")
    row = page.locator(f"#running-{job_id}")

    expect(row).to_contain_text("elapsed")
    expect(row).to_have_count(0)
    feed = page.locator("#activity li").filter(has=page.locator(f'a[href="/jobs/{job_id}/"]'))
    expect(feed).to_contain_text("main completed in")

    assert set(reader.polls) <= {200, 204}
    assert reader.complaints == []


def test_what_is_open_and_typed_in_the_list_survives_a_swap(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "sleep 6").split("/")[2]
    page = reader.page
    page.goto(f"{reader.address}/jobs/")
    page.get_by_text("More filters and order").click()
    branch = page.get_by_label("Branch", exact=True)
    branch.fill("half a na")
    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate("() => scrollTo(0, 60)")

    expect(page.locator(f"#job-{job_id} .badge")).to_have_text("Completed")

    assert page.evaluate("() => scrollY") == 60
    expect(page.locator("#jobs-more")).to_have_attribute("open", "")
    expect(branch).to_have_value("half a na")
    expect(branch).to_be_focused()
    assert reader.complaints == []


def test_the_whole_error_is_shown_to_the_keyboard_until_escape(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "exit 3").split("/")[2]
    page = reader.page
    reader.wait_for_badge("Failed")
    page.goto(f"{reader.address}/jobs/?q={job_id}")
    whole = page.get_by_role("tooltip")

    expect(whole).to_be_hidden()
    page.locator(".errline").focus()
    expect(whole).to_be_visible()
    page.keyboard.press("Escape")
    expect(whole).to_be_hidden()

    assert reader.complaints == []
