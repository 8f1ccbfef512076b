"""Owns the newest bytes of one live log in memory: at most 4 MiB, dropped from the front.

Pure and without locks: tail.py, its one user, holds them.
"""

from bisect import bisect_right

from jobs.logs.store import Piece

RING_BYTES = 4 << 20
# Many tiny pieces must not cost more than their bytes do.
RING_PIECES = 4096


class Ring:
    """Consecutive pieces; `start` and `end` are offsets of kept bytes."""

    def __init__(self, start: int) -> None:
        """Empty, at the offset where the first piece will begin."""
        self._pieces: list[Piece] = []
        self.start = self.end = start

    def append(self, piece: Piece) -> None:
        """Add the next bytes. Raises ValueError when they do not follow."""
        if piece.offset != self.end:
            raise ValueError(f"A piece at {piece.offset} does not follow {self.end}.")
        self._pieces.append(piece)
        self.end = piece.end
        dropped = max(len(self._pieces) - RING_PIECES, 0)
        while self.end - self._pieces[dropped].offset > RING_BYTES:
            dropped += 1
        del self._pieces[:dropped]
        self.start = self._pieces[0].offset

    def take(self, offset: int, *, max_bytes: int) -> list[Piece] | None:
        """At most `max_bytes` from `offset` on; none when there is nothing new; None when it is not here."""
        if not self.start <= offset <= self.end:
            return None
        taken: list[Piece] = []
        first = bisect_right(self._pieces, offset, key=lambda piece: piece.offset) - 1
        for piece in self._pieces[max(first, 0) :]:
            if not max_bytes:
                break
            data = piece.data[max(offset - piece.offset, 0) :][:max_bytes]
            if data:
                taken.append(Piece(max(offset, piece.offset), data, piece.at))
                max_bytes -= len(data)
        return taken
