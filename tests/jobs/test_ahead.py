"""A log that is longer than one answer is read on while it is stored: once, in order, and alone of its server."""

import json
import random
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings

from buildboard.core.crypto import encrypt
from jobs.execution import ahead, polling
from jobs.execution.ahead import MOST_AHEAD, Ahead
from jobs.execution.followed import Followed
from jobs.execution.polling import Poller
from jobs.models import Secret
from jobs.providers.base import BLOCK_BYTES, BuildStatus, ProviderGarbled, Report
from jobs.providers.fake import FakeProvider
from tests.factories import make_attempt, make_job
from tests.jobs.board import log_of, make_local_server, running_runner, submit, wait_until_finished
from tests.repositories import make_repository
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
SOURCE = random.Random(5).randbytes(1_000_000)
PART = 300_000


class GatedProvider(FakeProvider):
    """Serves `SOURCE` as every build's log, `PART` bytes an answer, each when `gate` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[list[int]] = []
        self.error: Exception | None = None

    def poll(self, requests: Sequence[tuple[str, int]], *, max_bytes: int) -> list[Report]:
        self.asked.append([offset for _, offset in requests])
        assert self.gate.wait(20)
        if self.error:
            raise self.error
        return [report_at(offset, build_id=build_id) for build_id, offset in requests]


def report_at(offset: int, *, build_id: str = "fake://x", length: int = PART) -> Report:
    data = SOURCE[offset : offset + length]
    return Report(build_id, BuildStatus.RUNNING, offset=offset, data=data, size=len(SOURCE))


def make_followed(provider: FakeProvider | None = None) -> Followed:
    return Followed(make_attempt(job=make_job("running", provider="fake")), provider or FakeProvider())


@contextmanager
def reading(name: str = "ahead", bell: threading.Event | None = None) -> Iterator[Ahead]:
    one = Ahead(name, wake=(bell or threading.Event()).set)
    try:
        yield one
    finally:
        one.close(wait=True)


# ---- what is kept ------------------------------------------------------------------------------------------


def test_bytes_that_are_known_are_not_kept_twice_and_none_behind_a_gap() -> None:
    one = make_followed()

    assert one.keep(report_at(0))
    assert not one.keep(report_at(0))
    assert not one.keep(report_at(PART + 1))
    assert one.keep(report_at(PART - 1000))
    assert one.keep(report_at(1, length=len(SOURCE)))

    assert log_of(one.attempt) == SOURCE
    assert one.attempt.source_read == len(SOURCE)


def test_reading_on_begins_at_a_block_before_what_masking_may_hold_back() -> None:
    one = make_followed()
    secrets = json.dumps({"TOKEN": "a-secret-of-some-length"})
    masked = make_attempt(job=make_job("running", provider="fake"), masked_values=encrypt(secrets))
    other = Followed(masked, FakeProvider())

    assert one.reads_on_at(report_at(0, length=4 * BLOCK_BYTES)) == 4 * BLOCK_BYTES
    assert one.reads_on_at(report_at(0, length=4 * BLOCK_BYTES + 9)) == 4 * BLOCK_BYTES
    assert other.masker.longest > 20
    assert other.reads_on_at(report_at(0, length=4 * BLOCK_BYTES)) == 3 * BLOCK_BYTES
    assert other.reads_on_at(report_at(0, length=BLOCK_BYTES + other.masker.longest)) == BLOCK_BYTES
    assert (
        other.reads_on_at(report_at(0, length=BLOCK_BYTES)) is None
    )  # hardly anything of the next would be new
    assert other.reads_on_at(report_at(1)) is None  # it cannot be kept: something is missing before it


def test_nothing_is_read_on_at_the_end_of_a_log_nor_past_its_limit(settings: LazySettings) -> None:
    one = make_followed()
    settings.MAX_LOG_BYTES = 2 * PART

    assert one.reads_on_at(report_at(0, length=len(SOURCE))) is None
    assert one.reads_on_at(report_at(len(SOURCE))) is None
    assert one.reads_on_at(report_at(0)) == PART // BLOCK_BYTES * BLOCK_BYTES
    assert one.keep(report_at(0))
    assert one.reads_on_at(report_at(PART)) is None
    one.keep(report_at(PART))
    one.keep(replace(report_at(2 * PART), size=1 << 40))
    assert one.reads_on_at(report_at(2 * PART)) is None


# ---- who reads, and when -----------------------------------------------------------------------------------


def test_what_follows_is_asked_for_at_once_and_of_that_build_alone() -> None:
    provider = GatedProvider()
    big, small = make_followed(provider), make_followed(provider)
    bell = threading.Event()
    poller = Poller("test", wake=bell.set)
    followed = {one.attempt.pk: one for one in (big, small)}
    try:
        assert poller.read_on(big, report_at(0, build_id=big.build_id))
        wait_for(lambda: provider.asked, what="it is asked while the first part is not stored yet")
        assert provider.asked == [[PART // BLOCK_BYTES * BLOCK_BYTES]]
        assert poller.late_answers(followed) == []
        provider.gate.set()
        assert [answer.one for answer in poller.ask(provider, [big, small])] == [small]
        assert bell.wait(20)
        assert poller.ask(provider, [big]) == []  # what came waits to be taken

        def all_taken() -> bool:
            for answer in poller.late_answers(followed):
                assert answer.one is big
                assert answer.report is not None
                poller.read_on(big, answer.report)
                assert big.keep(answer.report)
            return log_of(big.attempt) == SOURCE

        assert big.keep(report_at(0, build_id=big.build_id))
        wait_for(all_taken, what="the rest comes by itself")
        wait_for(lambda: not poller.late_answers(followed) and poller.ask(provider, [big]), what="it is over")
        reads = [asked for asked in provider.asked if asked[0]]
        assert [offset for (offset,) in reads] == sorted(offset for (offset,) in reads)
    finally:
        provider.gate.set()
        poller.close(wait=True)


def test_no_more_is_read_ahead_than_one_part_that_waits_and_the_next() -> None:
    provider = GatedProvider()
    provider.gate.set()
    one = make_followed(provider)
    with reading() as current:
        current.read_on(one, report_at(0))
        for taken in range(2):
            wait_for(lambda: len(provider.asked) >= taken + 2, what="the next is read")  # noqa: B023  # called at once
            assert len(provider.asked) == taken + 2
            assert current.taken() is not None


def test_build_that_does_not_answer_in_time_is_asked_alone_and_for_less() -> None:
    provider = GatedProvider()
    provider.error = ProviderGarbled("no answer in time")
    provider.gate.set()
    one = make_followed(provider)
    bell = threading.Event()
    poller = Poller("test", wake=bell.set)
    try:
        assert poller.read_on(one, report_at(0))
        assert bell.wait(20)
        assert poller.late_answers({one.attempt.pk: one}) == []

        bell.clear()
        provider.error = None
        assert poller.ask(provider, [one]) == []
        assert bell.wait(20)
        assert not poller.read_on(one, report_at(0))
        assert [answer.report for answer in poller.late_answers({one.attempt.pk: one})] == [
            report_at(0, build_id=one.build_id)
        ]
    finally:
        poller.close(wait=True)


def test_defect_in_reading_on_is_told_and_the_build_is_polled_again(caplog: pytest.LogCaptureFixture) -> None:
    provider = GatedProvider()
    provider.error = ValueError("a defect")
    provider.gate.set()
    one = make_followed(provider)
    with reading() as current:
        current.read_on(one, report_at(0))

        wait_for(lambda: not current.taken() and not current.is_reading(one), what="it has ended")

    assert [record.message for record in caplog.records] == ["Reading on failed"]


def test_one_build_of_a_server_and_few_of_the_process_are_read_ahead() -> None:
    provider = GatedProvider()
    first, second = make_followed(provider), make_followed(provider)
    with reading() as busy:
        busy.read_on(first, report_at(0))
        busy.read_on(second, report_at(0))
        assert (busy.is_reading(first), busy.is_reading(second)) == (True, False)
        others = [Ahead(f"{number}", wake=lambda: None) for number in range(MOST_AHEAD)]
        try:
            for one in others:
                one.read_on(second, report_at(0))
            assert [one.is_reading(second) for one in others] == [True] * (MOST_AHEAD - 1) + [False]

            provider.gate.set()
            wait_for(
                lambda: not others[0].taken() and not others[0].is_reading(second),
                what="one has come to its end",
            )
            others[-1].read_on(second, report_at(0))
            assert others[-1].is_reading(second)
        finally:
            for one in others:
                one.close(wait=True)

    for _ in range(MOST_AHEAD + 1):  # no turn is lost with who had it
        with reading() as last:
            last.read_on(first, report_at(0))
            assert last.is_reading(first)


def test_what_does_not_follow_what_is_kept_is_dropped() -> None:
    provider = GatedProvider()
    provider.gate.set()
    one = make_followed(provider)
    with reading() as current:
        current.read_on(one, report_at(0))
        assert current.is_reading(one)
        assert one.keep(report_at(0))
        current.read_on(one, report_at(PART))
        assert current.is_reading(one)

        current.read_on(one, report_at(2 * PART))  # the one before it was not kept

        assert not current.is_reading(one)
        assert current.taken() is None


def test_reading_on_ends_with_a_build_that_is_not_followed_any_more() -> None:
    provider = GatedProvider()
    gone, other = make_followed(provider), make_followed(provider)
    poller = Poller("test", wake=lambda: None)
    try:
        assert poller.read_on(gone, report_at(0, build_id=gone.build_id))
        assert not poller.read_on(other, report_at(0, build_id=other.build_id))

        assert poller.late_answers({other.attempt.pk: other}) == []

        assert poller.read_on(other, report_at(0, build_id=other.build_id))
    finally:
        provider.gate.set()
        poller.close(wait=True)


class PartedProvider(FakeProvider):
    """Its log is the first byte of a secret again and again: the last one of every part is held back."""

    log = b"s" * len(SOURCE)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read_log(
        self, build_id: str, offset: int, *, max_bytes: int, part_bytes: int
    ) -> Generator[Report, None, None]:
        self.asked.append(offset)
        for at in range(offset, len(self.log), PART):
            yield self.part(at)

    def part(self, at: int) -> Report:
        data = self.log[at : at + PART]
        return Report("fake://x", BuildStatus.RUNNING, offset=at, data=data, size=len(self.log))


def test_what_masking_holds_back_comes_again_with_the_next_part() -> None:
    provider = PartedProvider()
    secrets = encrypt(json.dumps({"TOKEN": "secret-of-some-length"}))
    one = Followed(make_attempt(job=make_job("running", provider="fake"), masked_values=secrets), provider)
    with reading() as current:
        current.read_on(one, provider.part(0))
        assert one.keep(provider.part(0))

        def all_taken() -> bool:
            taken = current.taken()
            if taken is not None:
                assert isinstance(taken[1], Report)
                current.read_on(one, taken[1])
                assert one.keep(taken[1])
            return one.attempt.source_read == len(provider.log) - 1

        wait_for(all_taken, what="each part is kept")

    assert len(provider.asked) == 1
    assert log_of(one.attempt) == provider.log[:-1]


# ---- the whole ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_long_log_is_whole_with_every_secret_masked_while_another_build_goes_on(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "PART_BYTES", 1 << 20)
    monkeypatch.setattr(polling, "MOST_BYTES", 1 << 20)
    settings.LOCAL_REPOSITORIES = (tmp_path,)
    repository = make_repository(tmp_path / "demo", {"README": "hello\n"})
    make_local_server(tmp_path / "work", max_concurrent_builds=2)
    secret = "of-22-bytes-for-certain"
    Secret.objects.create(name="TOKEN", encrypted_value=encrypt(secret))
    lines = b"".join(b"%d %s\n" % (number, secret.encode()) for number in range(300_000))
    (tmp_path / "big").write_bytes(lines)
    with running_runner():
        counting = submit(repository, build_command="n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo $n; done")
        long = submit(repository, build_command=f'cat "{tmp_path}/big"', secrets=["TOKEN"])
        for job in (counting, long):
            assert wait_until_finished(job).status == "completed"
        assert any(thread.name.startswith("ahead-") for thread in threading.enumerate())

    attempt = long.attempt_set.get()
    kept = log_of(attempt)
    begin = kept.index(b"0 ***\n")
    assert kept[begin : kept.index(b"299999 ***\n") + 11] == lines.replace(secret.encode(), b"***")
    assert attempt.log_lines == kept.count(b"\n")
    assert b"\n39\n40\n" in log_of(counting.attempt_set.get())
