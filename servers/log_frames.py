"""The helper's answer about one long log, taken in parts while it comes. It is not in charge of asking (runs.py)."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from servers.frames import PollEntry, parse_entry_line
from servers.streams import Source
from servers.transport import BadReply

PART_SECONDS = 1.0  # a part that grows slower is given as far as it has come


def iter_log(
    chunks: Iterable[bytes], *, nonce: str, id: str, offset: int, part_bytes: int
) -> Iterator[PollEntry]:
    """What a poll of this one attempt brings, each part from where the one before ended; at least one.

    All but `offset` and `data` is as it was when the answer began. BadReply when it is cut; the parts before that
    are good.
    """
    source = Source(chunks, nonce=nonce)
    entry, left = parse_entry_line(source.line(), id=id, offset=offset)
    while True:
        data = _part(source, most=min(left, part_bytes))
        yield replace(entry, offset=offset, data=data)
        offset += len(data)
        left -= len(data)
        if not left:
            break
    if source.drain() or not source.ended_well:
        raise BadReply("a poll ends after what was asked for")


def _part(source: Source, *, most: int) -> bytes:
    pieces: list[bytes] = []
    missing, late = most, time.monotonic() + PART_SECONDS
    while missing and (not pieces or time.monotonic() < late):
        piece = source.piece(missing)
        if not piece:
            raise BadReply("the reply was cut")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
