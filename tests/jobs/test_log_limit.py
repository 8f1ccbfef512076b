"""The limit of a log: the head, the marker, the tail, and that secrets and offsets stay true across them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.logs import limit
from jobs.logs.limit import TAIL_BYTES, Closing, Head
from jobs.logs.masking import Masker

PLAIN = Masker(frozenset())
SECRET = b"hunter2secret"
MASKER = Masker(frozenset({SECRET}))


def follow(masker: Masker, source: bytes, *, limit_bytes: int, step: int) -> tuple[bytes, int, int]:
    """A follower in small: the kept log, source_read and the omitted bytes at the end."""
    log, source_read, seen = b"", 0, 0
    while True:
        seen = min(seen + step, len(source))
        final = seen == len(source)
        part = limit.head(masker, source[source_read:seen], log_size=len(log), limit=limit_bytes, final=final)
        log += part.kept
        source_read += part.consumed
        if final and part.full:
            start = limit.tail_start(masker, source_read=source_read, length=len(source))
            end = limit.closing(masker, source[start:], source_read=source_read, length=len(source))
            return log + end.kept, source_read + end.consumed, end.omitted
        if final:
            return log, source_read, 0


def test_a_log_under_its_limit_is_kept_whole() -> None:
    assert limit.head(PLAIN, b"abc", log_size=7, limit=10, final=False) == Head(b"abc", 3, full=False)
    assert limit.head(PLAIN, b"", log_size=10, limit=10, final=True) == Head(b"", 0, full=False)


def test_the_head_ends_at_the_limit_and_the_source_stands_still() -> None:
    assert limit.head(PLAIN, b"abcdef", log_size=6, limit=10, final=False) == Head(b"abcd", 4, full=True)
    assert limit.head(PLAIN, b"ef", log_size=10, limit=10, final=False) == Head(b"", 0, full=True)
    assert limit.head(PLAIN, b"ef", log_size=30, limit=10, final=True) == Head(b"", 0, full=True)


def test_the_head_takes_a_masked_secret_whole_or_not_at_all() -> None:
    data = b"ab" + SECRET + b"cdef"

    assert limit.head(MASKER, data, log_size=0, limit=4, final=True) == Head(b"ab", 2, full=True)
    assert limit.head(MASKER, data, log_size=0, limit=5, final=True) == Head(b"ab***", 15, full=True)
    assert limit.head(MASKER, data, log_size=0, limit=9, final=True) == Head(b"ab***cdef", 19, full=False)


def test_what_fits_into_the_tail_is_kept_without_a_marker() -> None:
    rest = b"x" * TAIL_BYTES

    assert limit.closing(PLAIN, rest, source_read=10, length=10 + TAIL_BYTES) == Closing(rest, TAIL_BYTES, 0)


def test_one_marker_line_says_how_much_was_left_out_before_the_tail() -> None:
    source = b"".join(b"%09d\n" % number for number in range(100_000))

    log, source_read, omitted = follow(PLAIN, source, limit_bytes=1000, step=4096)

    marker = (
        b"\n[buildboard] 933464 bytes were left out here: the log is over its limit. Its last 65536 follow.\n"
    )
    assert log == source[:1000] + marker + source[-TAIL_BYTES:]
    assert (source_read, omitted) == (len(source), 933_464)


def test_closing_refuses_a_tail_that_is_kept_already() -> None:
    with pytest.raises(ValueError, match="before what is kept"):
        limit.closing(PLAIN, b"abc", source_read=8, length=10)


@pytest.mark.parametrize("shift", range(len(SECRET) * 3))
def test_a_secret_cut_by_the_beginning_of_the_tail_does_not_leak(shift: int) -> None:
    filler = b"." * (TAIL_BYTES + len(SECRET) - shift)
    source = b"-" * 500_000 + SECRET + filler

    log, _, _ = follow(MASKER, source, limit_bytes=1000, step=100_000)

    tail = log.rpartition(b"follow.\n")[2]
    assert set(tail) <= set(b"-.*")
    assert tail.count(b"***") == tail.count(b"*") // 3 <= 1
    assert tail.endswith(b"." * (TAIL_BYTES - len(SECRET) * 3))


@given(
    words=st.lists(st.sampled_from([b"hunter2", b"secret", SECRET, b"hun", b".", b"\n"]), max_size=60),
    limit_bytes=st.integers(1, 200),
    first=st.integers(1, 40),
    second=st.integers(1, 40),
)
def test_the_kept_log_does_not_depend_on_how_it_was_followed(
    words: list[bytes], limit_bytes: int, first: int, second: int
) -> None:
    source = b"".join(words)

    log, source_read, omitted = follow(MASKER, source, limit_bytes=limit_bytes, step=first)

    assert (log, source_read, omitted) == follow(MASKER, source, limit_bytes=limit_bytes, step=second)
    assert (log, source_read, omitted) == (MASKER.decide(source, final=True).kept, len(source), 0)


@given(
    limit_bytes=st.integers(1, 100),
    length=st.integers(TAIL_BYTES, TAIL_BYTES + 500),
    step=st.integers(9_000, 99_999),
)
def test_head_omitted_and_tail_add_up_to_the_source(limit_bytes: int, length: int, step: int) -> None:
    source = bytes(number % 251 for number in range(length))

    log, source_read, omitted = follow(PLAIN, source, limit_bytes=limit_bytes, step=step)

    kept_head = min(limit_bytes, length)
    assert source_read == length
    assert omitted == max(length - kept_head - TAIL_BYTES, 0)
    assert log[:kept_head] == source[:kept_head]
    assert log.endswith(source[-TAIL_BYTES:] if omitted else source[kept_head:])
