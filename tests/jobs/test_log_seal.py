"""Sealing: the same bytes and windows from either form, and nothing lost wherever it breaks off."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ  # noqa: TID251  # looks at the task that was asked for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildboard.core.enqueue import task_timeout_seconds
from jobs import lifecycle, tasks
from jobs.execution.sweep import sweep
from jobs.logs import objects, rows, seal, sealed, store
from jobs.logs.outline import read_outline
from jobs.logs.pieces import LogGap, Piece
from jobs.logs.seal import seal_all, seal_log
from jobs.logs.search import search
from jobs.logs.store import Place
from jobs.logs.windows import read_window
from jobs.models import Attempt, LogChunk, SealedLog
from jobs.outcomes import Outcome
from jobs.states import AttemptStatus
from tests.factories import make_attempt
from tests.jobs.log_forms import ended_with, is_sealed, sealed_twin, stored_objects, whole
from tests.jobs.log_writing import append_log

pytestmark = pytest.mark.django_db
LOG = b"one\ntwo \x1b[31mred\nthree\n" * 30_000 + b"open"


@pytest.fixture(autouse=True)
def _empty_storage() -> Iterator[None]:
    yield
    for key in stored_objects():
        objects.remove(key)


def pieces_of(attempt: Attempt, start: int, end: int) -> list[tuple[int, bytes, Any]]:
    """Byte by byte, since pieces may be cut in other places."""
    return [
        (piece.offset + index, piece.data[index : index + 1], piece.at)
        for piece in store.read_pieces(attempt, start=start, end=end)
        for index in range(len(piece.data))
    ]


def test_a_log_goes_from_rows_into_one_object() -> None:
    attempt = ended_with([LOG])

    assert seal_log(attempt.pk) is True

    assert is_sealed(attempt)
    assert whole(attempt) == LOG
    assert stored_objects() == {SealedLog.objects.get().storage_key}


def test_it_is_sealed_once_however_often_it_is_asked_for() -> None:
    attempt = ended_with([LOG])
    assert [seal_log(attempt.pk), seal_log(attempt.pk), seal_log(attempt.pk)] == [True, False, False]

    assert SealedLog.objects.count() == len(stored_objects()) == 1
    assert whole(attempt) == LOG


def test_a_log_that_may_grow_is_left_alone() -> None:
    attempt = make_attempt()
    append_log(attempt, b"one\n")
    ended = make_attempt(status=AttemptStatus.FAILED)

    assert (seal_log(attempt.pk), seal_log(ended.pk), seal_log(ended.job_id)) == (False, False, False)
    assert (SealedLog.objects.count(), stored_objects()) == (0, set())


ESCAPES = [
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[1;4",
    b"m",
    b"\x1b[K",
    b"\x1b[2K",
    b"\xc3",
    b"\xa9",
    b"\xe2\x80\xae",
]
WORDS = [b"a", b"Ab", b"error: ", b"warning: ", b"--- step", b"::group::x"]
TEXT = st.sampled_from([b"\n", b"\n", b"\n", b"\r", b"\r\n", b"\x00", b"\x08", *ESCAPES, *WORDS])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.one_of(st.binary(max_size=9), st.lists(TEXT, max_size=9).map(b"".join)), max_size=9),
    block=st.sampled_from([3, 7, 64]),
)
def test_either_form_is_read_the_same(parts: list[bytes], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "BLOCK_BYTES", block)
        live = ended_with(parts)
        twin = sealed_twin(live)
        size, lines = live.log_size, live.log_lines

        assert pieces_of(twin, 0, size) == pieces_of(live, 0, size)
        for offset in range(size + 1):
            assert store.line_at(twin, offset) == store.line_at(live, offset)
            assert pieces_of(twin, offset, min(offset + 5, size)) == pieces_of(
                live, offset, min(offset + 5, size)
            )
        for line in range(lines + 1):
            assert store.locate_line(twin, line) == store.locate_line(live, line)
            assert window(twin, line) == window(live, line)
            wanted = {"first_line": line, "limit": 2, "max_bytes": 9}
            assert store.read_lines(twin, **wanted) == store.read_lines(live, **wanted)
        for text in ("a", "ab", "é", "error", "x1b"):
            assert search(twin, text=text) == search(live, text=text)
        assert read_outline(twin) == read_outline(live)


def window(attempt: Attempt, line: int) -> Any:
    return read_window(attempt, first_line=line, limit=3, is_live=False)


def test_a_window_deep_in_a_sealed_log_reads_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ended_with([b"\x1b[32m" + b"".join(b"line %07d\n" % number for number in range(100_000))])
    assert seal_log(attempt.pk)
    read: list[int] = []
    original = sealed.Sealed._block

    def counted(self: sealed.Sealed, number: int) -> Any:
        read.append(number)
        return original(self, number)

    monkeypatch.setattr(sealed.Sealed, "_block", counted)

    found = read_window(attempt, first_line=76_543, limit=2, is_live=False)

    assert [line.shown.text for line in found.lines] == ["\x1b[0;32mline 0076543", "\x1b[0;32mline 0076544"]
    assert set(read) == {76_543 * 13 // sealed.BLOCK_BYTES}


# ---- while somebody reads ---------------------------------------------------------------------------------


def test_a_reader_goes_on_in_the_other_form_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [bytes([65 + number % 26]) * 1000 + b"\n" for number in range(40)]
    attempt = ended_with(parts)
    monkeypatch.setattr(rows, "_MOST_ROWS", 4)

    found = b""
    for piece in store.read_pieces(attempt, start=500, end=attempt.log_size):
        if not found:
            assert seal_log(attempt.pk)
        assert piece.offset == 500 + len(found)
        found += piece.data

    assert found == b"".join(parts)[500:]


@pytest.mark.parametrize("name", ["line_at", "locate_line"])
def test_lines_are_found_while_their_rows_go(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    attempt = ended_with([b"one\n", b"two\n", b"three"])
    original: Callable[..., Any] = getattr(rows, name)

    def sealed_meanwhile(attempt_id: Any, wanted: int) -> Any:
        seal_log(attempt.pk)
        return original(attempt_id, wanted)

    monkeypatch.setattr(rows, name, sealed_meanwhile)

    assert store.line_at(attempt, 9) == 2
    assert store.locate_line(attempt, 2) == Place(8, store.locate_line(attempt, 0).sgr)
    assert is_sealed(attempt)


def test_rows_that_go_little_by_little_mislead_nobody() -> None:
    attempt = ended_with([b"one\n", b"two\n", b"three\n", b"four\n"])
    assert seal_log(sealed_twin(attempt).pk) is False
    key = objects.new_key(attempt.pk)
    draft = SealedLog.objects.create(attempt=attempt, storage_key=key)
    assert seal._publish(attempt, draft, seal._write(attempt, draft))
    LogChunk.objects.bulk_create(
        [
            LogChunk(attempt=attempt, offset=0, size=4, first_line=0, lines=1, data=b"one\n"),
            LogChunk(attempt=attempt, offset=4, size=4, first_line=1, lines=1, data=b"two\n"),
        ]
    )

    assert whole(attempt) == b"one\ntwo\nthree\nfour\n"
    assert [store.locate_line(attempt, line).offset for line in range(5)] == [0, 4, 8, 14, 19]
    assert [store.line_at(attempt, offset) for offset in (3, 4, 8, 13, 14, 19)] == [0, 1, 2, 2, 3, 4]
    assert seal_log(attempt.pk) is False
    assert is_sealed(attempt)


# ---- where it breaks off ----------------------------------------------------------------------------------


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("jobs.logs.objects.new_key", "before the row"),
        ("jobs.logs.objects._settle", "after the object has its name"),
        ("jobs.logs.sealed.Writer.finish", "in the middle of writing"),
        ("jobs.logs.seal.open_sealed", "before it is read again"),
        ("jobs.logs.seal._publish", "before the transaction"),
        ("jobs.logs.store.drop_rows", "in the transaction"),
        ("jobs.logs.seal._drop_rows", "after the transaction"),
    ],
)
def test_a_crash_at_any_step_loses_nothing_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    attempt = ended_with([LOG])
    with monkeypatch.context() as patch:
        patch.setattr(module, raising(KeyboardInterrupt(name)))  # type: ignore[arg-type]  # as a signal would
        with pytest.raises(KeyboardInterrupt):
            seal_log(attempt.pk)
    assert whole(attempt) == LOG

    SealedLog.objects.update(begun_at=timezone.now() - seal.BUSY - timedelta(seconds=1))
    seal_all(seconds=60)

    assert is_sealed(attempt)
    assert whole(attempt) == LOG
    assert stored_objects() == {SealedLog.objects.get().storage_key}


def test_a_full_storage_leaves_the_log_in_rows_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt = ended_with([LOG])
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", raising(OSError(28, "No space left on device")))
        assert seal_log(attempt.pk) is False
    assert (whole(attempt), stored_objects()) == (LOG, set())

    assert (seal_log(attempt.pk), seal.unsealed(most=9)) == (False, [])

    SealedLog.objects.update(begun_at=timezone.now() - seal.BUSY - timedelta(seconds=1))
    assert seal.unsealed(most=9) == [attempt.pk]
    assert seal_all(seconds=60) == 1
    assert SealedLog.objects.count() == len(stored_objects()) == 1


def test_an_object_that_does_not_hold_what_was_written_is_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt = ended_with([LOG])
    with monkeypatch.context() as patch:
        patch.setattr(sealed.Sealed, "read_pieces", lambda *_, **__: iter([Piece(0, b"x", timezone.now())]))
        assert seal_log(attempt.pk) is False

    assert (whole(attempt), stored_objects()) == (LOG, set())


def test_of_two_who_seal_at_once_one_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ended_with([LOG])
    original = seal._publish

    def second_first(*given: Any) -> bool:
        monkeypatch.setattr(seal, "_publish", original)
        SealedLog.objects.update(begun_at=timezone.now() - seal.BUSY)
        assert seal_log(attempt.pk) is True
        return original(*given)

    monkeypatch.setattr(seal, "_publish", second_first)

    assert seal_log(attempt.pk) is False

    assert is_sealed(attempt)
    assert whole(attempt) == LOG
    assert stored_objects() == {SealedLog.objects.get().storage_key}


def test_a_database_that_goes_away_in_the_middle_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ended_with([LOG])
    with monkeypatch.context() as patch:
        patch.setattr(store, "drop_rows", raising(OperationalError("database is locked")))
        with pytest.raises(OperationalError):
            seal_log(attempt.pk)

    assert LogChunk.objects.filter(attempt=attempt).exists()
    assert SealedLog.objects.get().published_at is None
    assert whole(attempt) == LOG


# ---- what is damaged, deleted or left ---------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "short", "other", "index"])
def test_what_is_damaged_is_a_gap_and_nothing_worse(damage: str) -> None:
    attempt = ended_with([LOG])
    seal_log(attempt.pk)
    row = SealedLog.objects.get()
    path = objects._root() / row.storage_key
    if damage == "gone":
        path.unlink()
    elif damage == "index":
        SealedLog.objects.update(index=bytes(row.index)[:-3])
    else:
        data = bytearray(path.read_bytes())
        data[60] ^= 0x10
        path.write_bytes(data[:40] if damage == "short" else data)

    with pytest.raises(LogGap, match="has no byte 0 any more"):
        whole(attempt)
    with pytest.raises(LogGap, match="ask an operator to restore it"):
        store.read_lines(attempt, first_line=1, limit=1, max_bytes=100)


def test_the_object_goes_with_its_job() -> None:
    attempt, other = ended_with([LOG]), ended_with([b"other\n"])
    assert seal_all(seconds=60) == 2

    attempt.job.delete()
    assert seal.has_work()
    seal_all(seconds=60)

    assert not seal.has_work()
    assert stored_objects() == {SealedLog.objects.get().storage_key}
    assert whole(other) == b"other\n"


def age(*drafts: SealedLog) -> None:
    """As if nobody could be writing them any more."""
    ids = [draft.pk for draft in drafts]
    SealedLog.objects.filter(pk__in=ids).update(begun_at=timezone.now() - seal.BUSY - timedelta(seconds=1))


def test_an_object_that_cannot_be_removed_holds_up_nothing_and_is_tried_again_later() -> None:
    attempt, kept, gone = ended_with([LOG]), ended_with([b"kept\n"]), ended_with([b"gone\n"])
    stuck, left = (SealedLog.objects.create(attempt=kept, storage_key=objects.new_key(kept.pk)) for _ in "12")
    assert seal_log(gone.pk)
    orphan = SealedLog.objects.get(attempt=gone)
    gone.job.delete()
    for row in (stuck, orphan):
        (objects._root() / row.storage_key).unlink(missing_ok=True)
        (objects._root() / row.storage_key).mkdir(parents=True)
    age(stuck, left, orphan)

    assert seal_all(seconds=60) == 2

    assert is_sealed(attempt)
    assert set(SealedLog.objects.filter(attempt=None)) == {stuck, orphan}
    assert not seal.has_work()
    for row in (stuck, orphan):
        (objects._root() / row.storage_key).rmdir()
    age(stuck, orphan)
    assert seal_all(seconds=60) == 0
    assert set(SealedLog.objects.values_list("attempt", flat=True)) == {attempt.pk, kept.pk}


def test_whoever_writes_for_too_long_publishes_nothing_that_was_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt = ended_with([LOG])
    draft = SealedLog.objects.create(attempt=attempt, storage_key=objects.new_key(attempt.pk))
    written = seal._write(attempt, draft)
    published = []

    def removed_before_its_row(key: str) -> None:
        published.append(seal._publish(attempt, draft, written))

    monkeypatch.setattr(objects, "remove", removed_before_its_row)

    seal._discard(draft)

    assert published == [False]
    assert LogChunk.objects.filter(attempt=attempt).exists()
    monkeypatch.undo()
    objects.remove(draft.storage_key)


@pytest.mark.django_db(transaction=True)  # a key is looked at when a transaction ends
def test_a_log_whose_job_is_deleted_just_then_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ended_with([LOG])
    original = objects.new_key

    def deleted_first(attempt_id: uuid.UUID) -> str:
        attempt.job.delete()
        return original(attempt_id)

    monkeypatch.setattr(objects, "new_key", deleted_first)

    assert seal_log(attempt.pk) is False

    assert (SealedLog.objects.count(), stored_objects()) == (0, set())


def test_nobody_is_disturbed_who_may_still_be_writing() -> None:
    assert task_timeout_seconds("buildboard") < seal.BUSY.total_seconds()


# ---- who asks for it --------------------------------------------------------------------------------------


def end(attempt: Attempt) -> None:
    attempt.refresh_from_db()
    lifecycle.finish_attempt(attempt, outcome=Outcome(AttemptStatus.COMPLETED, exit_code=0))


def asked() -> list[tuple[str, tuple[Any, ...]]]:
    """The tasks that wait, in their order."""
    found = [row.task for row in OrmQ.objects.order_by("pk")]
    return [(task["func"], task["args"]) for task in found]


def test_a_long_log_has_a_task_of_its_own_as_soon_as_it_ends() -> None:
    attempt = make_attempt()
    append_log(attempt, LOG, LOG)

    end(attempt)

    assert asked() == [("jobs.tasks.seal_log", (attempt.pk,))]
    assert not seal.has_work()
    tasks.seal_log(attempt.pk)
    assert is_sealed(attempt)


def test_short_logs_that_end_are_sealed_together_in_one_task() -> None:
    attempts = [make_attempt() for _ in range(3)]
    for attempt in attempts:
        append_log(attempt, LOG)
        end(attempt)
    assert asked() == []

    assert [sweep()["sealing_requested"], sweep()["sealing_requested"]] == [1, 0]

    assert asked() == [("jobs.tasks.seal_all", ())]
    tasks.seal_all()
    assert all(is_sealed(attempt) for attempt in attempts)
    OrmQ.objects.all().delete()  # as it goes when the task has ended
    assert sweep()["sealing_requested"] == 0


def test_one_task_seals_more_than_it_finds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = [ended_with([b"%d\n" % number]) for number in range(5)]
    monkeypatch.setattr(seal, "_MOST", 2)

    assert seal_all(seconds=60) == 5
    assert all(is_sealed(attempt) for attempt in attempts)
    assert seal_all(seconds=60) == 0


def test_a_long_log_whose_task_was_lost_is_found_again() -> None:
    attempt, live = ended_with([LOG, LOG]), make_attempt()
    append_log(live, b"x")
    assert seal.has_work()

    tasks.seal_all()

    assert (is_sealed(attempt), is_sealed(live), seal.has_work()) == (True, False, False)
