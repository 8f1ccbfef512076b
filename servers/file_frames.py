"""The helper's replies about the files of a work tree, parsed: the listing, one file, and many in one archive.

Whatever a server sends is bounded and compared with what was asked for; a name is text, never a path of this
machine. It is not in charge of asking (runs.py), nor of which files are wanted.
"""

import re
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from servers.frames import unframe
from servers.streams import Source
from servers.transport import BadReply, HelperRefused

_NUMBER = re.compile(rb"[0-9]{1,18}")
_BLOCK_BYTES = 1 << 17
_NAME_LIMIT = 8192  # of a long name in an archive
_PER_FILE = 16 << 10  # of an archive: headers, a long name, padding
# Characters that would make a page show another name than the one it is.
_MISLEADING = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_OTHERS = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
_KINDS = {*tarfile.REGULAR_TYPES, *_OTHERS, *_NAMES} - {tarfile.GNUTYPE_SPARSE}


@dataclass(frozen=True)
class FileEntry:
    """A regular file below the work tree; the path is relative to it."""

    path: str
    size: int


@dataclass(frozen=True)
class FileListing:
    """What was found; `truncated`: not all.

    `refused` counts names that hold control or misleading characters, are not UTF-8, or are too long.
    """

    files: tuple[FileEntry, ...]
    refused: int
    truncated: bool


@dataclass(frozen=True)
class PackedFile:
    """A file of an archive: `chunks` are its bytes, to be read before the next file is asked for.

    `sha256` is the server's sum of it, taken before; other bytes mean that it changed meanwhile.
    """

    path: str
    sha256: str
    chunks: Iterator[bytes]


def parse_files(reply: bytes, *, nonce: str) -> FileListing:
    """The regular files of a work tree, each once."""
    body, status = unframe(reply, nonce=nonce)
    lines = body.split(b"\n")[:-1]
    if status:
        raise HelperRefused(lines[0].decode(errors="replace") if lines else "usage", status=status)
    truncated = lines[-1:] == [b"+"]
    files: dict[str, FileEntry] = {}
    refused = 0
    for line in lines[:-1] if truncated else lines:
        size, _, raw = line.partition(b" ")
        try:
            entry = FileEntry(path=_plain(raw.decode().removeprefix("./")), size=_count(size))
        except ValueError:  # the helper's mark for such a name, or one that is not UTF-8
            refused += 1
        else:
            files[entry.path] = entry
    return FileListing(files=tuple(files.values()), refused=refused, truncated=truncated)


def _plain(path: str) -> str:
    """The path; ValueError when a person could not read what it is."""
    if not _MISLEADING.isdisjoint(path) or any(unicodedata.category(one) == "Cc" for one in path):
        raise ValueError
    return path


def _count(word: bytes) -> int:
    """A number of bytes; ValueError for less than none, which would make room for more than is allowed."""
    if not _NUMBER.fullmatch(word):
        raise ValueError
    return int(word)


def iter_file(chunks: Iterable[bytes], *, nonce: str, offset: int) -> Iterator[bytes]:
    """The bytes of one file from `offset`, as they come.

    BadReply when they end too early; HelperRefused `changed` when the file itself became shorter meanwhile.
    """
    source = Source(chunks, nonce=nonce)
    line = source.line()
    words = line.split(b" ")
    if words[0] != b"file":
        source.refuse(line)
    if len(words) != 4 or words[1] != b"%d" % offset or not _NUMBER.fullmatch(words[2]):
        raise BadReply("another part of the file was asked for")
    left = int(words[2])
    while left:
        piece = source.piece(left)
        if not piece:
            if source.ended_well:
                raise HelperRefused("changed", status=65)
            raise BadReply("the reply was cut")
        left -= len(piece)
        yield piece
    if source.drain() or not source.ended_well:
        raise BadReply("the file ended elsewhere")


def iter_pack(chunks: Iterable[bytes], *, nonce: str, wanted: Mapping[str, int]) -> Iterator[PackedFile]:
    """The files that an archive holds, of those `wanted` (path to size), each once.

    Left out: what is no regular file of exactly that size by now, and what has no sum. HelperRefused `notar`: the
    server makes none.
    """
    source = Source(chunks, nonce=nonce, most=sum(wanted.values()) + _PER_FILE * (len(wanted) + 100))
    sums = _read_sums(source, most=len(wanted))
    left = {path: size for path, size in wanted.items() if path in sums}
    try:
        with tarfile.TarFile.open(  # type: ignore[call-overload]  # of a file object it needs `read` alone
            fileobj=source,
            mode="r|",
            bufsize=_BLOCK_BYTES,
            tarinfo=_Header,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for number, member in enumerate(archive):
                path = member.name.removeprefix("./")
                if member.isreg() and left.get(path) == member.size:
                    del left[path]
                    yield PackedFile(path, sums[path], _iter_member(archive, member))
                if number > len(wanted) + 100:
                    raise BadReply("the archive holds more than was asked for")
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise BadReply(f"the archive cannot be read: {error}") from error
    if source.drain(_PER_FILE) > _PER_FILE or not source.ended_well:
        raise BadReply("the archive was cut")


def _read_sums(source: Source, *, most: int) -> dict[str, str]:
    """What the server's sha256sum says, by path; a name with a backslash comes quoted."""
    sums: dict[str, str] = {}
    count = 0
    while (line := source.line()) != b"tar":
        word, _, rest = line.partition(b" ")
        if word != b"sum":
            source.refuse(line)
        count += 1
        if count > most:
            raise BadReply("more sums than files")
        quoted, rest = rest.startswith(b"\\"), rest.removeprefix(b"\\")
        digest, _, raw = rest.partition(b"  ")
        name = raw.decode(errors="surrogateescape").removeprefix("./")
        sums[name.replace("\\\\", "\\") if quoted else name] = digest.decode(errors="replace")
    return sums


def _iter_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        content = archive.extractfile(member)
        while content is not None and (block := content.read(_BLOCK_BYTES)):
            yield block
    except tarfile.TarError as error:
        raise BadReply(f"the archive was cut: {error}") from error


class _Header(tarfile.TarInfo):
    """A header of an archive as it was asked for: no extensions, which could be without bounds."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if (
            header.type not in _KINDS
            or (header.type in _NAMES and header.size > _NAME_LIMIT)
            or header.size < 0
        ):
            raise tarfile.ReadError("a member that was not asked for")
        return header
