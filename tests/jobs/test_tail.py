"""Live logs within a process: one thread feeds all tails, and a lost bell costs time and nothing else."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import F
from django.utils import timezone

from buildboard.core.doorbell import Listener
from jobs.logs import tail
from jobs.logs.ring import RING_BYTES
from jobs.logs.tail import Standing, Tail, Tails
from jobs.models import Attempt, LogChunk
from jobs.states import AttemptStatus, Phase
from tests.factories import make_attempt, make_server
from tests.jobs.log_writing import append_log
from tests.waiting import WAIT_SECONDS, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tails() -> Iterator[Tails]:
    yield Tails()
    wait_for(lambda: not feeding_threads(), what="the feeding thread has ended")


def feeding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "log-tails"]


def taken(live: Tail, offset: int) -> bytes | None:
    pieces = live.take(offset, max_bytes=1 << 30)
    return None if pieces is None else b"".join(piece.data for piece in pieces)


def nothing() -> None:
    """A watcher that looks by itself."""


def test_the_first_look_gives_the_standing_and_says_that_somebody_watches(tails: Tails) -> None:
    attempt = make_attempt(phase=Phase.CHECKOUT)
    append_log(attempt, b"old\n")

    with tails.watch(attempt.pk, notify=nothing) as live:
        wait_for(lambda: live.standing, what="a first look")
        wait_for(lambda: Attempt.objects.get(pk=attempt.pk).watched_until, what="watched_until")

        assert live.standing == Standing(4, "running", "checkout")
        assert not live.standing.ended
        assert (taken(live, 0), taken(live, 4)) == (None, b"")
    attempt.refresh_from_db()
    assert attempt.watched_until is not None
    assert timedelta() < attempt.watched_until - timezone.now() <= timedelta(seconds=10)


def test_who_follows_the_server_is_told_that_somebody_watches_from_now_on(tails: Tails) -> None:
    attempt, ended = make_attempt(server=make_server()), make_attempt(status=AttemptStatus.COMPLETED)
    heard: set[str] = set()

    def hear() -> set[str]:
        heard.update(listener.wait(0.1))
        return heard

    with (
        Listener() as listener,
        tails.watch(ended.pk, notify=nothing),
        tails.watch(attempt.pk, notify=nothing),
    ):
        wait_for(hear, what="a bell")

    assert heard == {f"server:{attempt.server_id}"}


def test_all_watchers_of_an_attempt_share_one_tail_and_are_told_of_what_comes(tails: Tails) -> None:
    attempt = make_attempt()
    told = [threading.Event(), threading.Event()]

    with (
        tails.watch(attempt.pk, notify=told[0].set) as first,
        tails.watch(attempt.pk, notify=told[1].set) as second,
    ):
        assert first is second
        wait_for(lambda: first.standing, what="a first look")
        for event in told:
            event.clear()
        append_log(attempt, b"new ")
        for event in told:
            assert event.wait(WAIT_SECONDS)
        append_log(attempt, b"bytes\n")
        wait_for(lambda: taken(first, 0) == b"new bytes\n", what="the new bytes")

        assert taken(first, 7) == b"es\n"
        assert len(feeding_threads()) == 1


def test_a_bell_that_was_never_rung_costs_time_only(tails: Tails) -> None:
    attempt = make_attempt()

    with tails.watch(attempt.pk, notify=nothing) as live:
        wait_for(lambda: live.standing, what="a first look")
        LogChunk.objects.create(attempt=attempt, offset=0, size=3, first_line=0, lines=0, data=b"abc")
        Attempt.objects.filter(pk=attempt.pk).update(log_size=F("log_size") + 3)

        wait_for(lambda: taken(live, 0) == b"abc", what="bytes of which no bell told")


def test_the_end_is_told_with_everything_read(tails: Tails) -> None:
    attempt = make_attempt()

    with tails.watch(attempt.pk, notify=nothing) as live:
        wait_for(lambda: live.standing, what="a first look")
        append_log(attempt, b"last\n")
        Attempt.objects.filter(pk=attempt.pk).update(status=AttemptStatus.FAILED, completed_at=timezone.now())
        wait_for(lambda: live.standing and live.standing.ended, what="the end")

        assert live.standing == Standing(5, "failed", "building")
        assert taken(live, 0) == b"last\n"


def test_an_ended_attempt_is_not_marked_as_watched(tails: Tails) -> None:
    attempt = make_attempt(status=AttemptStatus.COMPLETED)
    running = make_attempt()

    with tails.watch(attempt.pk, notify=nothing) as live, tails.watch(running.pk, notify=nothing):
        wait_for(lambda: live.standing, what="a first look")
        wait_for(lambda: Attempt.objects.get(pk=running.pk).watched_until, what="watched_until of the other")

    assert Attempt.objects.get(pk=attempt.pk).watched_until is None


def test_more_than_the_ring_holds_sends_readers_to_the_store(tails: Tails) -> None:
    attempt = make_attempt()

    with tails.watch(attempt.pk, notify=nothing) as live:
        wait_for(lambda: live.standing, what="a first look")
        append_log(attempt, b"x" * (RING_BYTES + 1))
        wait_for(lambda: live.standing and live.standing.size == RING_BYTES + 1, what="the flood")
        assert (taken(live, 0), taken(live, RING_BYTES + 1)) == (None, b"")

        append_log(attempt, b"more")
        wait_for(lambda: taken(live, RING_BYTES + 1) == b"more", what="what came after it")


def test_bytes_that_are_missing_do_not_stop_the_other_tails(tails: Tails) -> None:
    broken, sound = make_attempt(), make_attempt()

    with tails.watch(broken.pk, notify=nothing) as first, tails.watch(sound.pk, notify=nothing) as second:
        wait_for(lambda: first.standing and second.standing, what="first looks")
        Attempt.objects.filter(pk=broken.pk).update(log_size=10)
        append_log(sound, b"fine")
        wait_for(lambda: taken(second, 0) == b"fine", what="the sound log")
        wait_for(lambda: first.standing and first.standing.size == 10, what="the broken log")

        assert taken(first, 0) is None


def test_the_thread_ends_with_the_last_watcher_and_begins_with_the_next(tails: Tails) -> None:
    attempt = make_attempt()

    for _ in range(2):
        with tails.watch(attempt.pk, notify=nothing) as live:
            wait_for(partial(getattr, live, "standing"), what="a first look")
            assert len(feeding_threads()) == 1
        wait_for(lambda: not feeding_threads(), what="no thread")


def test_a_process_has_one_set_of_tails() -> None:
    attempt = make_attempt()

    with tail.watch(attempt.pk, notify=nothing) as first, tail.watch(attempt.pk, notify=nothing) as second:
        assert first is second
    wait_for(lambda: not feeding_threads(), what="no thread")
