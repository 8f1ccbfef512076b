"""The pages of jobs in a real browser, on a real board: submit, ask, cancel, and what polling leaves alone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


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


def test_focus_and_place_in_the_page_survive_the_end_of_a_build(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    page, go = reader.page, tmp_path / "go"
    page.set_viewport_size({"width": 1280, "height": 400})
    reader.submit(repository, f"seq 1 200; while [ ! -e {go} ]; do sleep 0.1; done")
    page.locator("bb-log .lx", has_text="200").wait_for()
    link = page.get_by_role("link", name="Edit and run")
    link.focus()
    link.evaluate("element => { element.mark = 'same'; }")
    page.evaluate("() => scrollTo(0, 150)")
    log = page.locator("bb-log")
    before = log.bounding_box()

    go.touch()
    reader.wait_for_badge("Completed")

    expect(link).to_be_focused()
    assert link.evaluate("element => element.mark") == "same"
    after = log.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 1  # what was above it went away
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
