"""What pages of the demo board show without an address of their own: questions, refused forms, and errors.

For `test_every_page.py` and for `make screenshots`; the pages with an address are demo_board.py's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from playwright.sync_api import expect

from tests.boards import RunningBoard
from tests.browsers import Reader

Ids = Mapping[str, str]
Show = Callable[[Reader, Ids], None]


@dataclass(frozen=True)
class State:
    """How it comes onto the screen, with the status of which answer, and during what."""

    show: Show
    status: int = 200
    during: Callable[[RunningBoard], AbstractContextManager[object]] = nullcontext


def opened(address: str, *, status: int) -> Show:
    """Opens a page that answers with this status; `{failed}` and so on in its address are ids."""

    def show(person: Reader, ids: Ids) -> None:
        answer = person.page.goto(person.address + address.format(**ids))
        assert answer is not None
        assert answer.status == status, address

    return show


def _ask_to_cancel(person: Reader, ids: Ids) -> None:
    person.page.goto(f"{person.address}/jobs/{ids['running']}/")
    person.page.get_by_role("link", name="Cancel").click()
    expect(person.page.locator("#cancel-dialog")).to_be_visible()


def _ask_for_keys(person: Reader, ids: Ids) -> None:
    person.page.goto(f"{person.address}/jobs/")
    person.page.keyboard.press("?")
    expect(person.page.locator("#keys-dialog")).to_be_visible()


def _send_too_little(person: Reader, ids: Ids) -> None:
    person.page.goto(f"{person.address}/jobs/new/")
    person.page.get_by_label("Time limit").fill("0")
    person.page.get_by_role("button", name="Submit build").click()
    expect(person.page.get_by_role("alert")).to_contain_text("Nothing was submitted.")


def _send_an_old_form(person: Reader, ids: Ids) -> None:
    person.page.goto(f"{person.address}/jobs/new/")
    person.context.clear_cookies(name="bb_csrf")
    person.page.get_by_role("button", name="Submit build").click()
    expect(person.page.locator("main")).to_contain_text("This form was too old")


def _make_a_token(person: Reader, ids: Ids) -> None:
    person.page.goto(f"{person.address}/tokens/")
    person.page.get_by_label("Name").fill("shown once")
    person.page.get_by_role("button", name="Make token").click()
    expect(person.page.locator("#new-token")).to_be_visible()


@contextmanager
def _broken_tokens(board: RunningBoard) -> Iterator[None]:
    """A mistake of the board's own: one of its tables is not there."""
    board.query("ALTER TABLE core_apitoken RENAME TO core_apitoken_away")
    try:
        yield
    finally:
        board.query("ALTER TABLE core_apitoken_away RENAME TO core_apitoken")


# By the name of its picture.
STATES: Mapping[str, State] = {
    "job-cancel-dialog": State(_ask_to_cancel),
    "keys-dialog": State(_ask_for_keys),
    "submit-refused": State(_send_too_little, 422),
    "forbidden": State(_send_an_old_form, 403),
    "token-made": State(_make_a_token),
    "error": State(opened("/tokens/", status=500), 500, _broken_tokens),
    "away": State(opened("/jobs/", status=503), 503, RunningBoard.without_database),
}
