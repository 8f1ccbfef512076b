"""The helper's replies about the files of a work tree, parsed: the listing, and one file as it streams in.

It is not in charge of asking (runs.py), nor of which files are wanted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from servers.frames import parse_answer, unframe
from servers.transport import BadReply, HelperRefused

_HEADER_LIMIT = 1 << 20  # a login shell's noise before the reply


@dataclass(frozen=True)
class FileEntry:
    """A regular file below the work tree; the path is relative to it."""

    path: str
    size: int


@dataclass(frozen=True)
class FileListing:
    """What was found; `refused` counts names with control characters or not UTF-8, `truncated`: not all."""

    files: tuple[FileEntry, ...]
    refused: int
    truncated: bool


def parse_files(reply: bytes, *, nonce: str, limit: int) -> FileListing:
    """The regular files of a work tree, at most `limit`."""
    body, status = unframe(reply, nonce=nonce)
    lines = body.split(b"\n")[:-1]
    if status:
        raise HelperRefused(lines[0].decode(errors="replace") if lines else "usage", status=status)
    cut = lines[-1:] == [b"..."]
    if cut:
        del lines[-1]
    files, refused = [], 0
    for line in lines[:limit]:
        size, _, raw = line.partition(b" ")
        try:
            files.append(FileEntry(path=raw.decode().removeprefix("./"), size=int(size)))
        except ValueError:  # the helper's mark for such a name, or one that is not UTF-8
            refused += 1
    return FileListing(files=tuple(files), refused=refused, truncated=cut or len(lines) > limit)


def iter_file(chunks: Iterable[bytes], *, nonce: str, offset: int) -> Iterator[bytes]:
    """The bytes of one file from `offset`, as they come; BadReply when they end too early."""
    pieces = iter(chunks)
    held = _read_file_header(pieces, nonce=nonce)
    line, _, held = held.partition(b"\n")
    words = line.split(b" ")
    if words[0] != b"file":
        rest = held + b"".join(pieces)
        parse_answer(f"BB1 {nonce}\n".encode() + line + b"\n" + rest, nonce=nonce)
        raise BadReply("a file was asked for")
    if len(words) != 4 or words[1] != b"%d" % offset:
        raise BadReply("another part of the file was asked for")
    left = int(words[2])
    while left:
        if not held:
            held = _next_piece(pieces)
        yield held[:left]
        left, held = left - len(held[:left]), held[left:]
    end = f"BBEND {nonce} 0\n".encode()
    while len(held) < len(end):
        held += _next_piece(pieces)
    if held != end:
        raise BadReply("the file ended elsewhere")


def _read_file_header(pieces: Iterator[bytes], *, nonce: str) -> bytes:
    mark, held = f"BB1 {nonce}\n".encode(), b""
    while mark not in held or b"\n" not in held[held.index(mark) + len(mark) :]:
        held += _next_piece(pieces)
        if len(held) > _HEADER_LIMIT:
            raise BadReply("no reply")
    return held[held.index(mark) + len(mark) :]


def _next_piece(pieces: Iterator[bytes]) -> bytes:
    for piece in pieces:
        if piece:
            return piece
    raise BadReply("the reply was cut")
