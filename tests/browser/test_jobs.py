"""The pages of jobs in a real browser, on a real board: submit, watch, look back, lose the connection, cancel."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import WAIT_MS, Reader

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What a browser says of its own accord while the board is away on purpose.
AWAY = ("WebSocket connection to", "Failed to load resource", "net::ERR")


def test_a_build_is_submitted_and_watched_to_its_end(reader: Reader, repository: Path) -> None:
    reader.submit(
        repository,
        "printf '\\033[31mred\\033[0m <b>bold</b>\\n 10%%\\r100%%\\n'; sleep 3; seq 1 20000; exit 3",
    )

    reader.page.locator(".lx", has_text="red <b>bold</b>").last.wait_for()
    assert reader.page.locator(".lx .f1", has_text="red").count() == 1
    reader.wait_for_badge("Failed")
    expect(reader.page.locator("[data-stream]")).to_have_text("complete")
    assert reader.numbers()[-1] == "20000"
    assert reader.page.locator(".ll").count() == 5000
    assert reader.page.locator("#job").get_attribute("data-poll") == "10000"
    assert set(reader.polls) <= {200, 204}
    assert reader.complaints == []


def test_a_reader_who_looks_back_is_left_where_they_are(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    reader.submit(repository, f"seq 1 500; while [ ! -e {go} ]; do sleep 0.1; done; seq 501 700")
    reader.page.locator(".lx", has_text=re.compile("^500$")).wait_for()
    scroller = reader.page.locator("[data-scroll]")
    scroller.evaluate("element => { element.scrollTop = 200; }")
    expect(reader.page.locator("[data-act=follow]")).to_have_attribute("aria-pressed", "false")

    go.touch()
    expect(reader.page.locator("[data-pill]")).to_be_visible()
    reader.wait_for_badge("Completed")
    expect(reader.page.locator("[data-stream]")).to_have_text("complete")

    assert reader.numbers() == [str(number) for number in range(1, 701)]
    assert reader.scroll_top == 200
    reader.page.locator("[data-pill]").click()
    expect(reader.page.locator("[data-pill]")).to_be_hidden()
    assert reader.scroll_top > 5000
    assert reader.complaints == []


def test_a_link_to_lines_opens_them_here_or_in_the_paged_log(reader: Reader, repository: Path) -> None:
    path = reader.submit(repository, "seq 1 6000")
    reader.wait_for_badge("Completed")

    reader.page.goto("about:blank")
    reader.page.goto(f"{reader.address}{path}#L5900-L5902")
    marked = reader.page.locator(".ll.sel")
    expect(marked).to_have_count(3)
    expect(marked.first).to_be_in_viewport()
    reader.page.goto("about:blank")
    reader.page.goto(f"{reader.address}{path}#L4000")
    reader.page.wait_for_url(f"{reader.address}{path}log/?attempt=1&line=4000#L4000")
    expect(reader.page.locator("#L4000")).to_be_in_viewport()

    assert reader.complaints == []


def test_the_log_goes_on_where_it_was_when_the_web_process_was_killed(
    reader: Reader, board: RunningBoard, repository: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    reader.submit(repository, f"seq 1 300; while [ ! -e {go} ]; do sleep 0.1; done; seq 301 600")
    reader.page.locator(".lx", has_text=re.compile("^300$")).wait_for()

    board.leader("web").kill()
    expect(reader.page.locator("[data-stream]")).to_have_text("reconnecting")
    go.touch()
    reader.wait_for_badge("Completed")
    expect(reader.page.locator("[data-stream]")).to_have_text("complete", timeout=2 * WAIT_MS)

    assert reader.numbers() == [str(number) for number in range(1, 601)]
    assert [text for text in reader.complaints if not text.startswith(AWAY)] == []


def test_cancelling_asks_first_and_the_question_outlives_a_poll(reader: Reader, repository: Path) -> None:
    reader.submit(repository, "sleep 600")
    reader.wait_for_badge("Running")
    reader.page.get_by_role("link", name="Cancel").click()
    dialog = reader.page.locator("#cancel-dialog")
    expect(dialog).to_be_visible()
    polled = len(reader.polls)
    reader.page.wait_for_event("response", lambda response: "v=" in response.url)

    expect(dialog).to_be_visible()
    assert len(reader.polls) > polled
    dialog.get_by_role("button", name="Cancel job").click()
    reader.wait_for_badge("Cancelled")
    assert reader.complaints == []


def test_the_call_to_the_api_follows_what_is_typed(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/jobs/new/")
    reader.page.get_by_label("Repository").fill("https://git.example/it's")

    expect(reader.page.locator("#api-call")).to_contain_text("https://git.example/it")

    assert reader.page.get_by_label("Repository").input_value() == "https://git.example/it's"
    assert reader.complaints == []


def test_what_is_typed_into_the_search_survives_a_poll(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "sleep 5").split("/")[2]
    reader.page.goto(f"{reader.address}/jobs/")
    search = reader.page.get_by_role("searchbox")
    search.fill("half a wo")

    expect(reader.page.locator(f"#job-{job_id} .badge")).to_have_text("Completed")

    assert search.input_value() == "half a wo"
    assert search.evaluate("element => element === document.activeElement") is True
    assert reader.complaints == []


def test_the_theme_is_kept_by_the_server_and_goes_back_to_the_systems(reader: Reader) -> None:
    root = reader.page.locator("html")
    button = reader.page.locator("[data-theme-toggle]")
    seen = [(root.get_attribute("data-theme"), button.get_attribute("aria-label"))]

    for _ in range(3):
        button.click()
        reader.page.reload()
        seen.append((root.get_attribute("data-theme"), button.get_attribute("aria-label")))

    assert seen == [
        (None, "Theme: as the system has it"),
        ("bb-dark", "Theme: dark"),
        ("bb-light", "Theme: light"),
        (None, "Theme: as the system has it"),
    ]
    assert reader.complaints == []


def test_the_question_mark_shows_the_keys(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/jobs/")
    reader.page.keyboard.press("?")

    dialog = reader.page.locator("#keys-dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Search the whole log")
    reader.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert reader.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_scrolls_sideways(
    browser: Browser, board: RunningBoard, repository: Path, width: int
) -> None:
    person = Reader(browser, board, width=width)
    path = person.submit(repository, f"echo {'long' * 200}")
    person.wait_for_badge("Completed")

    for address in (path, f"{path}log/", f"{path}retry/", "/jobs/", "/jobs/new/", "/tokens/", "/nowhere/"):
        person.page.goto(person.address + address)
        assert (address, person.sideways) == (address, 0)
    person.context.close()
