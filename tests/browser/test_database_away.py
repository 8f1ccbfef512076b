"""PostgreSQL is away while pages are open in a real browser. For SQLite see test_every_page.py."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browsers import Reader
from tests.demo_board import empty_board
from tests.requirements import require
from tests.services import fresh_database
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.slow]

ASK_OFTEN = "() => { document.querySelector('[data-poll]').dataset.poll = 300; }"


def test_pages_say_that_the_database_is_away_and_come_back_by_themselves(browser: Browser) -> None:
    require("postgres")
    with fresh_database("pages_away") as url:
        port = urlsplit(url).port
        assert port is not None
        with (
            TcpProxy(port) as proxy,
            empty_board(database_url=url.replace(f":{port}/", f":{proxy.port}/")) as board,
        ):
            person = Reader(browser, board)
            page, other = person.page, person.context.new_page()
            page.evaluate(ASK_OFTEN)
            live = page.locator("[data-live]")
            expect(live).to_have_text("Live")

            with proxy.away():
                expect(live).to_have_text(re.compile(r"Reconnecting, as of \d\d:\d\d:\d\d UTC"))
                answer = other.goto(f"{person.address}/jobs/")
                assert answer is not None
                assert answer.status == 503
                expect(other.get_by_role("link", name="Try again")).to_be_visible()

            expect(other.locator("h1")).to_have_text("Jobs")
            expect(live).to_have_text("Live")
            person.context.close()
