"""Owns what is kept of a log that is larger than its limit: the head, one marker line, and the last 64 KiB.

Pure. The head ends at a place of the source where whole masked units still fit, and from there `source_read`
stands still while the build goes on: nothing past it needs to be read until the end. Then `closing` decides
the rest of the source at once, and one append moves both offsets over it. So followers that are killed or are
two at once come to the same log, and `source_read` is the source's length only when the log is whole.

It is not in charge of reading the source (the follower) or of storing (store.py).
"""

from dataclasses import dataclass

from jobs.logs.masking import Masker

TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """What to append. When `full`, the limit is reached: `source_read` stays behind it until the end."""

    kept: bytes
    consumed: int
    full: bool


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a full log: `kept` stands for all `consumed` bytes, of which `omitted` were left out."""

    kept: bytes
    consumed: int
    omitted: int


def head(masker: Masker, data: bytes, *, log_size: int, limit: int, final: bool) -> Head:
    """As much of `data`, the source from `source_read` on, as is decided and fits under `limit` bytes kept.

    `final`: nothing follows `data` in the source. With it and without `full`, all of it is consumed.
    """
    room = max(limit - log_size, 0)
    decided = masker.decide(data, final=final)
    if len(decided.kept) <= room:
        return Head(decided.kept, decided.consumed, full=False)
    # The longest beginning of the data whose masked form fits: what is kept grows with it, so halve.
    fits, over = 0, len(data)
    while over - fits > 1:
        middle = (fits + over) // 2
        if len(masker.decide(data[:middle], final=False).kept) <= room:
            fits = middle
        else:
            over = middle
    decided = masker.decide(data[:fits], final=False)
    return Head(decided.kept, decided.consumed, full=True)


def tail_start(masker: Masker, *, source_read: int, length: int) -> int:
    """Where to read the source from, up to its `length`, for `closing`: a little before the last 64 KiB."""
    return max(source_read, length - TAIL_BYTES - 2 * masker.longest)


def closing(masker: Masker, data: bytes, *, source_read: int, length: int) -> Closing:
    """The end of a full log; `data` is the source from `tail_start` up to its `length`.

    What was left out is counted in bytes of the source; nothing is when all of it fits into the last 64 KiB.
    """
    start = length - len(data)
    if start < source_read:
        raise ValueError("The tail begins before what is kept.")
    skipped = start - source_read
    if skipped:
        # The end of a secret that began before `data` may be in its first bytes; drop a little more than the
        # longest form, up to a place that is decided.
        unsafe = masker.decide(data[: 2 * masker.longest], final=False).consumed
        skipped += unsafe
        data = data[unsafe:]
    masked = masker.decide(data, final=True).kept
    tail = masked[-TAIL_BYTES:]
    omitted = skipped + len(masked) - len(tail)
    return Closing(_marker(omitted, len(tail)) + tail if omitted else tail, length - source_read, omitted)


def _marker(omitted: int, tail: int) -> bytes:
    text = (
        f"[buildboard] {omitted} bytes were left out here: the log is over its limit. Its last {tail} follow."
    )
    return f"\n{text}\n".encode()
