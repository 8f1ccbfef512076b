"""The body of a reply that is read while it comes. What is in it others know (file_frames.py, log_frames.py)."""

from collections.abc import Iterable

from servers.frames import parse_answer
from servers.transport import BadReply

_HEADER_LIMIT = 1 << 20  # a login shell's noise before the reply
_LINE_LIMIT = 8192
_BLOCK_BYTES = 1 << 17


class Source:
    """The body of a reply that streams in: lines first, then bytes; it never holds more than a piece and a line."""

    def __init__(self, chunks: Iterable[bytes], *, nonce: str, most: int | None = None) -> None:
        self._pieces = iter(chunks)
        self._nonce = nonce
        self._left = most
        self._tail = b""
        self._held = (
            b""  # what came last, of which `_at` bytes were given: cutting them off would copy the rest
        )
        self._at = 0
        self._skip_noise()

    def _skip_noise(self) -> None:
        mark = f"BB1 {self._nonce}\n".encode()
        while mark not in self._held:
            more = self._next()
            if not more or len(self._held) > _HEADER_LIMIT:
                raise BadReply("no reply")
            self._held += more
        self._at = self._held.index(mark) + len(mark)

    def _next(self) -> bytes:
        for piece in self._pieces:
            if piece:
                self._tail = (self._tail + piece[-64:])[-64:]
                return piece
        return b""

    @property
    def ended_well(self) -> bool:
        """Whether what came last is the helper's own end."""
        return self._tail.endswith(f"BBEND {self._nonce} 0\n".encode())

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._held.find(b"\n", self._at)) < 0:
            more = self._next()
            if not more or len(self._held) - self._at > _LINE_LIMIT:
                raise BadReply("the reply was cut")
            self._held, self._at = self._held[self._at :] + more, 0
        line = self._held[self._at : end]
        self._at = end + 1
        return line

    def piece(self, most: int) -> bytes:
        """Some of the bytes that follow, none at the end."""
        if self._at == len(self._held):
            self._held, self._at = self._next(), 0
        data = self._held[self._at : self._at + most]
        self._at += len(data)
        return data

    def read(self, size: int) -> bytes:
        """As a file does, but BadReply at its end, which an archive never asks for, and past what was asked for."""
        data = self.piece(size)
        if not data:
            raise BadReply("the archive was cut")
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise BadReply("more bytes than were asked for")
        return data

    def drain(self, most: int = 64) -> int:
        """Read what is left, a little more than `most` at most; how many bytes beyond the helper's own end."""
        count = 0
        while count <= most + 64 and (data := self.piece(_BLOCK_BYTES)):
            count += len(data)
        return max(0, count - len(f"BBEND {self._nonce} 0\n"))

    def refuse(self, line: bytes) -> None:
        """The answer was another one: raise HelperRefused, or BadReply where it makes no sense."""
        rest = b""
        while len(rest) < _LINE_LIMIT and (data := self.piece(_LINE_LIMIT)):
            rest += data
        parse_answer(f"BB1 {self._nonce}\n".encode() + line + b"\n" + rest, nonce=self._nonce)
        raise BadReply("files were asked for")
