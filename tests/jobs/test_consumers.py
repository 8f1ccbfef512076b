"""The live log's socket, to the letter of the contract's section 4."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from buildboard.web.flow import Flow
from jobs.models import Attempt, BuildJob
from jobs.routing import websocket_urlpatterns
from jobs.states import AttemptStatus, JobStatus
from tests.factories import make_attempt, make_job
from tests.jobs.log_sockets import WAIT_SECONDS, Open, address, run
from tests.jobs.log_writing import AT, append_log, finish, logged

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_tail_left")]


def test_a_finished_log_is_sent_whole_then_its_end(read_token: str) -> None:
    attempt = logged(b"one\ntwo\n", b"three", status=AttemptStatus.FAILED)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)

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


def test_a_running_log_arrives_as_it_grows(read_token: str) -> None:
    attempt = make_attempt()
    append_log(attempt, b"before\n", at=AT)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
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


def test_resuming_at_every_byte_gives_exactly_the_rest(read_token: str) -> None:
    whole = "aé\n漢😀\n".encode() + b"\xff\xc3\n\xe2\x82"
    attempt = logged(whole[:3], whole[3:9], whole[9:])

    async def scenario(open_socket: Open) -> None:
        for offset in range(len(whole) + 1):
            reader = await open_socket(address(attempt, f"?offset={offset}"), read_token)
            frames = [frame for frame in await reader.rest() if frame["type"] == "log"]

            assert reader.text == whole[offset:].decode(errors="replace")
            assert [frame["offset"] for frame in frames][:1] == [offset][: len(whole) - offset]
            for frame in frames:
                part = whole[frame["offset"] : frame["next_offset"]]
                assert frame["text"] == part.decode(errors="replace")
                assert frame["line"] == 1 + whole[: frame["offset"]].count(b"\n")
            assert reader.frames[-1] == {"type": "end", "size": len(whole), "status": "completed"}

    run(scenario)


def test_a_large_backlog_comes_in_order_without_gap_in_bounded_frames(read_token: str) -> None:
    whole = b"".join(b"%07d \xc3\xa9\n" % number for number in range(60_000))
    attempt = logged(whole)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        frames = [frame for frame in await reader.rest() if frame["type"] == "log"]

        assert reader.text == whole.decode()
        assert [frame["offset"] for frame in frames[1:]] == [frame["next_offset"] for frame in frames[:-1]]
        assert max(len(json.dumps(frame, ensure_ascii=False).encode()) for frame in frames) <= 65_536

    run(scenario)


def test_an_older_attempt_is_sent_when_asked_for_and_else_the_latest(read_token: str) -> None:
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
            reader = await open_socket(address(first, query), read_token)
            assert (await reader.rest())[-1] == {"type": "end", "size": len(text), "status": status}
            assert reader.text == text

    run(scenario)


def test_a_queued_job_waits_for_its_attempt(read_token: str) -> None:
    job = make_job()
    make_attempt(job, AttemptStatus.RELEASED)

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(f"/ws/jobs/{job.pk}/log", read_token)
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


def test_a_job_that_ends_without_an_attempt_ends_the_socket(read_token: str) -> None:
    job = make_job()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(f"/ws/jobs/{job.pk}/log", read_token)
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


def test_a_slow_client_delays_no_other_and_misses_nothing(read_token: str) -> None:
    attempt = make_attempt()
    append_log(attempt, b"first\n", at=AT)

    async def scenario(open_socket: Open) -> None:
        flow = Flow()
        slow = await open_socket(address(attempt), read_token, **{"buildboard.flow": flow})
        quick = [await open_socket(address(attempt), read_token) for _ in range(5)]
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


def test_acknowledgements_are_taken_and_mean_nothing(read_token: str) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        await reader.next()
        for text in ('{"type":"ack","offset":0}', "no json", "\x00", "[" * 1000):
            await reader.communicator.send_to(text_data=text)
        await reader.communicator.send_to(bytes_data=b"\xff")
        await sync_to_async(finish)(attempt)
        await reader.rest()

        assert reader.close_code == 1000

    run(scenario)


def test_a_client_that_goes_leaves_nothing_behind(read_token: str) -> None:
    attempt = make_attempt()

    async def scenario(open_socket: Open) -> None:
        before = asyncio.all_tasks()
        reader = await open_socket(address(attempt), read_token)
        await reader.next()
        await reader.communicator.disconnect(timeout=WAIT_SECONDS)

        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()

    run(scenario)


def test_a_socket_writes_only_that_somebody_watches(read_token: str) -> None:
    attempt = make_attempt()

    def row() -> dict[str, Any]:
        return {**Attempt.objects.filter(pk=attempt.pk).values().get()}

    before = row()

    async def scenario(open_socket: Open) -> None:
        reader = await open_socket(address(attempt), read_token)
        await reader.next()

    run(scenario)
    after = row()
    assert {name for name in before if before[name] != after[name]} <= {"watched_until"}


def test_the_socket_declares_its_right() -> None:
    (pattern,) = websocket_urlpatterns

    assert pattern.callback.consumer_class.required_right == "read"
