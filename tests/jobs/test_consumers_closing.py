"""When the live log's socket closes before the log has ended: questions, rights and clients that do not fit."""

import uuid

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from buildboard.core.audit import Actor
from buildboard.core.auth import create_token, revoke_token
from buildboard.core.models import ApiToken, User
from buildboard.web.flow import Flow
from jobs import consumers
from jobs.models import BuildJob, LogChunk
from tests.factories import make_attempt
from tests.jobs.log_sockets import Open, address, run
from tests.jobs.log_writing import logged

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_tail_left")]


@pytest.mark.parametrize(
    "query",
    [
        "?offset=-1",
        "?offset=x",
        "?offset=",
        "?offset=1.5",
        "?offset=%D9%A1",
        "?offset=4",
        "?offset=9999999999999999999",
        "?attempt=one",
        "?offset=0&offset=1",
        "?since=1",
        "?attempt=1%00",
    ],
)
def test_a_query_that_does_not_fit_closes_with_4400(read_token: str, query: str) -> None:
    attempt = logged(b"abc")

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt, query), read_token)

        assert (await reader.rest(), reader.close_code) == ([], 4400)

    run(scenario)


def test_without_the_right_to_read_it_closes_with_4403(viewer: User, settings: Settings) -> None:
    attempt = logged(b"secret")
    revoked, text = create_token(viewer, name="old", scopes=["read"])
    revoke_token(revoked, actor=Actor(name="test", door="test"))

    async def scenario(open_socket: Open) -> None:
        for wrong in ("", "nonsense", text):
            reader = await open_socket(address(attempt), wrong)
            assert (await reader.rest(), reader.close_code) == ([], 4403)
        settings.PUBLIC_READ = True
        reader = await open_socket(address(attempt))
        await reader.rest()
        assert (reader.text, reader.close_code) == ("secret", 1000)

    run(scenario)


def test_an_unknown_job_or_attempt_closes_with_4404(read_token: str) -> None:
    attempt = logged(b"abc")

    async def scenario(open_socket: Open) -> None:
        for path in (
            f"/ws/jobs/{uuid.uuid4()}/log",
            "/ws/jobs/not-an-id/log",
            address(attempt, "?attempt=2"),
            address(attempt, "?attempt=0"),
            address(attempt, "?attempt=999999999999999"),
        ):
            reader = await open_socket(path, read_token)
            assert (await reader.rest(), reader.close_code) == ([], 4404)

    run(scenario)


@pytest.mark.parametrize("change", ["revoked", "disabled", "deleted"])
def test_rights_that_go_away_close_an_open_socket(
    viewer: User, read_token: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.05)
    attempt = make_attempt()

    def take_away() -> None:
        if change == "revoked":
            revoke_token(ApiToken.objects.get(user=viewer), actor=Actor(name="test", door="test"))
        elif change == "disabled":
            User.objects.filter(pk=viewer.pk).update(is_active=False)
        else:
            BuildJob.objects.filter(pk=attempt.job_id).delete()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        await reader.next()
        await sync_to_async(take_away)()
        await reader.rest()

        assert reader.close_code == (4404 if change == "deleted" else 4403)

    run(scenario)


def test_rights_are_looked_at_often_enough_for_the_contract() -> None:
    assert consumers.CHECK_SECONDS < 5


def test_a_client_that_takes_nothing_is_waited_for_and_then_closed_with_4408(
    read_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "STALLED_SECONDS", 0.3)
    whole = b"0123456\n" * 100_000
    attempt = logged(whole)

    async def scenario(open_socket: Open) -> None:
        flow = Flow()
        reader = await open_socket(address(attempt), read_token, **{"buildboard.flow": flow})
        await reader.next()
        flow.pauseProducing()
        await reader.rest()

        assert reader.close_code == 4408
        assert reader.text == whole[: reader.frames[-1]["next_offset"]].decode()
        assert len(reader.text) < len(whole)

    run(scenario)


@pytest.mark.parametrize(("count", "size", "code"), [(1, 16 * 1024 + 1, 4413), (60, 10, 4429)])
def test_a_client_that_says_too_much_is_closed(read_token: str, count: int, size: int, code: int) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        await reader.next()
        for _ in range(count):
            await reader.communicator.send_to(text_data="x" * size)
        await reader.rest()

        assert reader.close_code == code

    run(scenario)


def test_missing_bytes_close_the_socket_and_are_not_skipped(read_token: str) -> None:
    attempt = logged(b"one\n", b"two\n", b"three\n")
    LogChunk.objects.filter(offset=4).delete()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        await reader.rest()

        assert (reader.text, reader.close_code) == ("", 4500)

    run(scenario)
