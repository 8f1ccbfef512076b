"""The overview and the list of jobs in a real browser: what polls bring, and what they leave as it was."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browsers import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_build_comes_and_goes_on_the_overview_without_a_reload(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "sleep 6").split("/")[2]
    page = reader.page
    page.goto(f"{reader.address}/")
    row = page.locator(f"#running-{job_id}")

    expect(row).to_contain_text("elapsed")
    expect(row).to_have_count(0)
    feed = page.locator("#activity li").filter(has=page.locator(f'a[href="/jobs/{job_id}/"]'))
    expect(feed).to_contain_text("main completed in")

    assert set(reader.polls) == {200, 204}
    assert reader.complaints == []


def test_what_is_open_and_typed_in_the_list_survives_a_swap(reader: Reader, repository: Path) -> None:
    job_id = reader.submit(repository, "sleep 6").split("/")[2]
    page = reader.page
    page.goto(f"{reader.address}/jobs/")
    page.get_by_text("More filters and order").click()
    branch = page.get_by_label("Branch", exact=True)
    branch.fill("half a na")

    expect(page.locator(f"#job-{job_id} .badge")).to_have_text("Completed")

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
