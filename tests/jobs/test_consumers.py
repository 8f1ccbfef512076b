"""The live log's socket, to the letter of the contract's section 4."""

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings

from buildboard.core.audit import Actor
from buildboard.core.auth import create_token, revoke_token
from buildboard.core.models import ApiToken, User
from buildboard.core.permissions import Role
from buildboard.web.flow import Flow
from jobs import consumers
from jobs.models import Attempt, BuildJob, LogChunk
from jobs.routing import websocket_urlpatterns
from jobs.states import AttemptStatus, JobStatus
from tests.factories import make_attempt, make_job, make_user
from tests.jobs.log_sockets import WAIT_SECONDS, Open, run
from tests.jobs.log_writing import append_log
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    wait_for(
        lambda: not any(thread.name == "log-tails" for thread in threading.enumerate()),
        what="the feeding thread ends",
    )


@pytest.fixture
def user() -> User:
    return make_user(Role.VIEWER)


@pytest.fixture
def token(user: User) -> str:
    return create_token(user, name="test", scopes=["read"])[1]


def finish(attempt: Attempt, status: AttemptStatus = AttemptStatus.COMPLETED) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(status=status, completed_at=timezone.now())


def logged(*parts: bytes, status: AttemptStatus = AttemptStatus.COMPLETED) -> Attempt:
    """An ended attempt with this log."""
    attempt = make_attempt()
    append_log(attempt, *parts, at=AT)
    finish(attempt, status)
    return attempt


def address(attempt: Attempt, query: str = "") -> str:
    return f"/ws/jobs/{attempt.job_id}/log{query}"


def test_a_finished_log_is_sent_whole_then_its_end(token: str) -> None:
    attempt = logged(b"one\ntwo\n", b"three", status=AttemptStatus.FAILED)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)

        assert await reader.rest() == [
            {
                "type": "log",
                "offset": 0,
                "next_offset": 13,
                "line": 1,
                "text": "one\ntwo\nthree",
                "time": "2026-01-02T00:00:00+00:00",
            },
            {"type": "status", "status": "failed", "phase": None},
            {"type": "end", "size": 13, "status": "failed"},
        ]
        assert reader.close_code == 1000

    run(scenario)


def test_a_running_log_arrives_as_it_grows(token: str) -> None:
    attempt = make_attempt()
    append_log(attempt, b"before\n", at=AT)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        assert await reader.next() == {"type": "status", "status": "running", "phase": "building"}
        assert (await reader.next())["text"] == "before\n"
        await sync_to_async(append_log)(attempt, b"after\n", at=AT)
        assert [(f["offset"], f["line"], f["text"]) for f in [await reader.next()]] == [(7, 2, "after\n")]
        await sync_to_async(Attempt.objects.filter(pk=attempt.pk).update)(phase="collecting")
        assert await reader.next() == {"type": "status", "status": "running", "phase": "collecting"}
        await sync_to_async(finish)(attempt)

        assert (await reader.rest())[-2:] == [
            {"type": "status", "status": "completed", "phase": None},
            {"type": "end", "size": 13, "status": "completed"},
        ]
        assert reader.text == "before\nafter\n"

    run(scenario)


def test_resuming_at_every_byte_gives_exactly_the_rest(token: str) -> None:
    whole = "aé\n漢😀\n".encode() + b"\xff\xc3\n\xe2\x82"
    attempt = logged(whole[:3], whole[3:9], whole[9:])

    async def scenario(open_socket: Open) -> None:
        for offset in range(len(whole) + 1):
            reader = await open_socket(address(attempt, f"?offset={offset}"), token)
            frames = [frame for frame in await reader.rest() if frame["type"] == "log"]

            assert reader.text == whole[offset:].decode(errors="replace")
            assert [frame["offset"] for frame in frames][:1] == [offset][: len(whole) - offset]
            for frame in frames:
                part = whole[frame["offset"] : frame["next_offset"]]
                assert frame["text"] == part.decode(errors="replace")
                assert frame["line"] == 1 + whole[: frame["offset"]].count(b"\n")
            assert reader.frames[-1] == {"type": "end", "size": len(whole), "status": "completed"}

    run(scenario)


def test_a_large_backlog_comes_in_order_without_gap_in_bounded_frames(token: str) -> None:
    whole = b"".join(b"%07d \xc3\xa9\n" % number for number in range(60_000))
    attempt = logged(whole)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        frames = [frame for frame in await reader.rest() if frame["type"] == "log"]

        assert reader.text == whole.decode()
        assert [frame["offset"] for frame in frames[1:]] == [frame["next_offset"] for frame in frames[:-1]]
        assert max(len(json.dumps(frame, ensure_ascii=False).encode()) for frame in frames) <= 65_536

    run(scenario)


def test_an_older_attempt_is_sent_when_asked_for_and_else_the_latest(token: str) -> None:
    job = make_job(JobStatus.RUNNING)
    first = make_attempt(job)
    append_log(first, b"first\n", at=AT)
    finish(first, AttemptStatus.LOST)
    second = make_attempt(job)
    append_log(second, b"second\n", at=AT)
    finish(second)
    make_attempt(job, AttemptStatus.RELEASED)

    async def scenario(open_socket: Open) -> None:
        for query, text, status in (("?attempt=1", "first\n", "lost"), ("", "second\n", "completed")):
            reader = await open_socket(address(first, query), token)
            assert (await reader.rest())[-1] == {"type": "end", "size": len(text), "status": status}
            assert reader.text == text

    run(scenario)


def test_a_queued_job_waits_for_its_attempt(token: str) -> None:
    job = make_job()
    make_attempt(job, AttemptStatus.RELEASED)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(f"/ws/jobs/{job.pk}/log", token)
        assert await reader.next() == {"type": "status", "status": "queued", "phase": None}
        claimed = await sync_to_async(make_attempt)(job, AttemptStatus.CLAIMED)
        assert await reader.next() == {"type": "status", "status": "claimed", "phase": "connecting"}
        await sync_to_async(finish)(claimed, AttemptStatus.RELEASED)
        assert await reader.next() == {"type": "status", "status": "queued", "phase": None}
        attempt = await sync_to_async(make_attempt)(job)
        await sync_to_async(append_log)(attempt, b"at last\n", at=AT)
        await sync_to_async(finish)(attempt)
        await reader.rest()

        assert reader.text == "at last\n"
        assert reader.frames[-1] == {"type": "end", "size": 8, "status": "completed"}

    run(scenario)


def test_a_job_that_ends_without_an_attempt_ends_the_socket(token: str) -> None:
    job = make_job()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(f"/ws/jobs/{job.pk}/log", token)
        await reader.next()
        await sync_to_async(BuildJob.objects.filter(pk=job.pk).update)(
            status=JobStatus.CANCELLED, completed_at=timezone.now()
        )

        assert (await reader.rest())[1:] == [
            {"type": "status", "status": "cancelled", "phase": None},
            {"type": "end", "size": 0, "status": "cancelled"},
        ]
        assert reader.close_code == 1000

    run(scenario)


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
def test_a_query_that_does_not_fit_closes_with_4400(token: str, query: str) -> None:
    attempt = logged(b"abc")

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt, query), token)

        assert (await reader.rest(), reader.close_code) == ([], 4400)

    run(scenario)


def test_without_the_right_to_read_it_closes_with_4403(user: User, settings: Settings) -> None:
    attempt = logged(b"secret")
    revoked, text = create_token(user, name="old", scopes=["read"])
    revoke_token(revoked, actor=Actor(name="test", door="test"))

    async def scenario(open_socket: Open) -> None:
        for token in ("", "nonsense", text):
            reader = await open_socket(address(attempt), token)
            assert (await reader.rest(), reader.close_code) == ([], 4403)
        settings.PUBLIC_READ = True
        reader = await open_socket(address(attempt))
        await reader.rest()
        assert (reader.text, reader.close_code) == ("secret", 1000)

    run(scenario)


def test_an_unknown_job_or_attempt_closes_with_4404(token: str) -> None:
    attempt = logged(b"abc")

    async def scenario(open_socket: Open) -> None:
        for path in (
            f"/ws/jobs/{uuid.uuid4()}/log",
            "/ws/jobs/not-an-id/log",
            address(attempt, "?attempt=2"),
            address(attempt, "?attempt=0"),
            address(attempt, "?attempt=999999999999999"),
        ):
            reader = await open_socket(path, token)
            assert (await reader.rest(), reader.close_code) == ([], 4404)

    run(scenario)


@pytest.mark.parametrize("change", ["revoked", "disabled", "deleted"])
def test_rights_that_go_away_close_an_open_socket(
    user: User, token: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.05)
    attempt = make_attempt()

    def take_away() -> None:
        if change == "revoked":
            revoke_token(ApiToken.objects.get(user=user), actor=Actor(name="test", door="test"))
        elif change == "disabled":
            User.objects.filter(pk=user.pk).update(is_active=False)
        else:
            BuildJob.objects.filter(pk=attempt.job_id).delete()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        await reader.next()
        await sync_to_async(take_away)()
        await reader.rest()

        assert reader.close_code == (4404 if change == "deleted" else 4403)

    run(scenario)


def test_rights_are_looked_at_often_enough_for_the_contract() -> None:
    assert consumers.CHECK_SECONDS < 5


def test_a_client_that_takes_nothing_is_waited_for_and_then_closed_with_4408(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "STALLED_SECONDS", 0.3)
    whole = b"0123456\n" * 100_000
    attempt = logged(whole)

    async def scenario(open_socket: Open) -> None:
        flow = Flow()
        reader = await open_socket(address(attempt), token, **{"buildboard.flow": flow})
        await reader.next()
        flow.pauseProducing()
        await reader.rest()

        assert reader.close_code == 4408
        assert reader.text == whole[: reader.frames[-1]["next_offset"]].decode()
        assert len(reader.text) < len(whole)

    run(scenario)


def test_a_slow_client_delays_no_other_and_misses_nothing(token: str) -> None:
    attempt = make_attempt()
    append_log(attempt, b"first\n", at=AT)

    async def scenario(open_socket: Open) -> None:
        flow = Flow()
        slow = await open_socket(address(attempt), token, **{"buildboard.flow": flow})
        quick = [await open_socket(address(attempt), token) for _ in range(5)]
        while slow.text != "first\n":
            await slow.next()
        flow.pauseProducing()
        for _ in range(10):
            await sync_to_async(append_log)(attempt, b"x" * 99_999 + b"\n", at=AT)
        await sync_to_async(finish)(attempt)
        for reader in quick:
            await reader.rest()
            assert len(reader.text) == 1_000_006
        assert await slow.communicator.receive_nothing(0.1)
        flow.resumeProducing()
        await slow.rest()

        assert slow.text == quick[0].text
        assert (slow.close_code, slow.frames[-1]["size"]) == (1000, 1_000_006)

    run(scenario)


def test_acknowledgements_are_taken_and_mean_nothing(token: str) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        await reader.next()
        for text in ('{"type":"ack","offset":0}', "no json", "\x00", "[" * 1000):
            await reader.communicator.send_to(text_data=text)
        await reader.communicator.send_to(bytes_data=b"\xff")
        await sync_to_async(finish)(attempt)
        await reader.rest()

        assert reader.close_code == 1000

    run(scenario)


@pytest.mark.parametrize(("count", "size", "code"), [(1, 16 * 1024 + 1, 4413), (60, 10, 4429)])
def test_a_client_that_says_too_much_is_closed(token: str, count: int, size: int, code: int) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        await reader.next()
        for _ in range(count):
            await reader.communicator.send_to(text_data="x" * size)
        await reader.rest()

        assert reader.close_code == code

    run(scenario)


def test_missing_bytes_close_the_socket_and_are_not_skipped(token: str) -> None:
    attempt = logged(b"one\n", b"two\n", b"three\n")
    LogChunk.objects.filter(offset=4).delete()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        await reader.rest()

        assert (reader.text, reader.close_code) == ("", 4500)

    run(scenario)


def test_a_client_that_goes_leaves_nothing_behind(token: str) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        before = asyncio.all_tasks()
        reader = await open_socket(address(attempt), token)
        await reader.next()
        await reader.communicator.disconnect(timeout=WAIT_SECONDS)

        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()

    run(scenario)


def test_a_socket_writes_only_that_somebody_watches(token: str) -> None:
    attempt = make_attempt()

    def row() -> dict[str, Any]:
        return {**Attempt.objects.filter(pk=attempt.pk).values().get()}

    before = row()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), token)
        await reader.next()

    run(scenario)
    after = row()
    assert {name for name in before if before[name] != after[name]} <= {"watched_until"}


def test_the_socket_declares_its_right() -> None:
    (pattern,) = websocket_urlpatterns

    assert pattern.callback.consumer_class.required_right == "read"
