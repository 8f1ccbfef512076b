"""The submit page in a real browser: its panels follow what is typed, and what is typed stays."""

import pytest
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import PASSWORD, Reader

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_where_it_would_run_follows_what_is_typed(reader: Reader) -> None:
    page = reader.page
    page.goto(f"{reader.address}/jobs/new/")
    architecture = page.get_by_label("Architecture")

    architecture.fill("s390x")
    expect(page.locator("#where")).to_contain_text("No build server can take it.")
    expect(page.locator("#api-call")).to_contain_text('"target_architecture": "s390x"')
    architecture.press_sequentially(" and more")
    expect(page.locator("#where")).to_contain_text("Architecture: ")

    assert architecture.input_value() == "s390x and more"
    assert architecture.evaluate("element => element === document.activeElement") is True
    assert page.locator("#where").get_attribute("aria-live") == "polite"
    assert reader.complaints == []


def test_it_works_without_scripts(browser: Browser, board: RunningBoard) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    address = f"http://127.0.0.1:{board.port}"
    page.goto(f"{address}/login/?next=/jobs/new/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()

    page.get_by_label("Architecture").fill("s390x")
    page.get_by_role("button", name="Say where it would run").click()

    expect(page.locator("#where")).to_contain_text("No build server can take it.")
    assert page.get_by_label("Architecture").input_value() == "s390x"
    page.get_by_role("button", name="Submit build").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was submitted.")
    context.close()
