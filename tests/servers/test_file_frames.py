"""Replies about files: what is cut, forged, endless or not asked for is refused; what is whole comes out exactly."""

import hashlib
import itertools
import tarfile
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.file_frames import FileEntry, FileListing, iter_file, iter_pack, parse_files
from servers.transport import BadReply, HelperRefused

NONCE = "0123456789abcdef"
HEAD, END = f"BB1 {NONCE}\n".encode(), f"BBEND {NONCE} 0\n".encode()
FILES = {"a": b"x" * 700, "d/\u00e9 \\": b"", "long/" * 60 + "name": b"y" * 5000}


def answer(body: str, *, status: int = 0) -> bytes:
    """A whole reply."""
    return f"BB1 {NONCE}\n{body}BBEND {NONCE} {status}\n".encode()


def sums(files: dict[str, bytes]) -> bytes:
    """What sha256sum says of them, quoted as GNU's does."""
    lines = b""
    for path, data in files.items():
        mark, shown = ("\\", path.replace("\\", "\\\\")) if "\\" in path else ("", path)
        lines += f"sum {mark}{hashlib.sha256(data).hexdigest()}  ./{shown}\n".encode()
    return lines


def member(path: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, size: int | None = None) -> bytes:
    """One member of an archive; `size` is what its header says."""
    header = tarfile.TarInfo(path)
    header.type, header.size, header.linkname = kind, len(data) if size is None else size, "a"
    padding = b"\0" * (-len(data) % 512)
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + data + padding


def packed(files: dict[str, bytes]) -> bytes:
    """The whole reply about these files."""
    archive = b"".join(member(f"./{path}", data) for path, data in files.items())
    return HEAD + sums(files) + b"tar\n" + archive + b"\0" * 10240 + END


def read(reply: bytes | Iterable[bytes], *, wanted: dict[str, int]) -> dict[str, bytes]:
    """What comes out, and that the sums told are those of the bytes."""
    found = {}
    pieces = [reply] if isinstance(reply, bytes) else reply
    for file in iter_pack(pieces, nonce=NONCE, wanted=wanted):
        found[file.path] = b"".join(file.chunks)
        assert hashlib.sha256(found[file.path]).hexdigest() == file.sha256
    return found


def sizes(files: dict[str, bytes]) -> dict[str, int]:
    return {path: len(data) for path, data in files.items()}


def test_files_are_parsed() -> None:
    reply = (
        f"BB1 {NONCE}\n3 a b\n!\n12 ./d/\u00e9\n0 0\n".encode() + b"1 \xff\n" + f"BBEND {NONCE} 0\n".encode()
    )

    found = parse_files(reply, nonce=NONCE)

    assert found == FileListing(
        (FileEntry("a b", 3), FileEntry("d/\u00e9", 12), FileEntry("0", 0)), 2, truncated=False
    )


@pytest.mark.parametrize("size", ["-5", "+5", "1_0", "\u0665", "9" * 19, ""])
def test_size_that_is_no_number_is_refused(size: str) -> None:
    assert parse_files(answer(f"{size} a\n"), nonce=NONCE) == FileListing((), 1, truncated=False)
    with pytest.raises(BadReply):
        list(iter_file([answer(f"file 0 {size} 9\nabc")], nonce=NONCE, offset=0))


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=40))
def test_file_comes_out_whole_however_it_is_cut_up(data: bytes, step: int) -> None:
    reply = (
        b"noise" + f"BB1 {NONCE}\nfile 7 {len(data)} 999\n".encode() + data + f"BBEND {NONCE} 0\n".encode()
    )
    pieces = [reply[at : at + step] for at in range(0, len(reply), step)]

    assert b"".join(iter_file(pieces, nonce=NONCE, offset=7)) == data
    with pytest.raises(BadReply):
        b"".join(iter_file(pieces, nonce=NONCE, offset=8))


def test_file_cut_at_any_byte_gives_a_beginning_and_is_refused() -> None:
    data = b"0123456789"
    reply = f"BB1 {NONCE}\nfile 0 10 10\n".encode() + data + f"BBEND {NONCE} 0\n".encode()
    for length in range(len(reply)):
        got = b""
        with pytest.raises(BadReply):
            for piece in iter_file([reply[:length]], nonce=NONCE, offset=0):
                got += piece
        assert data.startswith(got)


def test_file_that_is_refused_says_why() -> None:
    with pytest.raises(HelperRefused, match="missing"):
        list(iter_file([answer("missing\n", status=66)], nonce=NONCE, offset=0))
    with pytest.raises(HelperRefused, match="usage"):
        list(iter_file([answer("", status=64)], nonce=NONCE, offset=0))


def test_file_that_became_shorter_is_told_from_a_reply_that_was_cut() -> None:
    reply = HEAD + b"file 0 100 100\n" + b"0123456789" + END

    with pytest.raises(HelperRefused, match="changed"):
        list(iter_file([reply], nonce=NONCE, offset=0))
    with pytest.raises(BadReply):
        list(iter_file([reply[:-1]], nonce=NONCE, offset=0))


def test_listing_tells_that_there_is_more_and_names_each_file_once() -> None:
    reply = answer("3 ./a\n3 ./a\n+\n")

    assert parse_files(reply, nonce=NONCE) == FileListing((FileEntry("a", 3),), 0, truncated=True)


@pytest.mark.parametrize("name", ["\x85", "\x9b31m", "a\u202etxt.exe", "\u2028", "\u200f"])
def test_name_that_would_show_as_another_is_refused(name: str) -> None:
    assert parse_files(answer(f"3 {name}\n3 \u05d0\n"), nonce=NONCE) == FileListing(
        (FileEntry("\u05d0", 3),), 1, truncated=False
    )


@pytest.mark.parametrize("step", [1, 7, 511, 512, 10240, 1 << 20])
def test_archive_comes_out_whole_however_it_is_cut_up(step: int) -> None:
    reply = b"noise\n" + packed(FILES)

    assert read((reply[at : at + step] for at in range(0, len(reply), step)), wanted=sizes(FILES)) == FILES


def test_archive_cut_at_any_byte_gives_whole_files_only_and_is_refused() -> None:
    files = {"a": b"x" * 700, "b": b"y"}
    reply = packed(files)
    # Every byte of the frame and of the first headers, and some of the padding.
    for length in itertools.chain(
        range(3000), range(3000, len(reply), 97), range(len(reply) - 80, len(reply))
    ):
        got: dict[str, bytes] = {}
        with pytest.raises(BadReply):
            for file in iter_pack([reply[:length]], nonce=NONCE, wanted=sizes(files)):
                got[file.path] = b"".join(file.chunks)
        assert got.items() <= files.items()


def test_archive_holds_nothing_but_what_was_asked_for() -> None:
    archive = (
        member("./other", b"o")
        + member("../a", b"o")
        + member("/a", b"o")
        + member("./a", b"not the size")
        + member("./a", kind=tarfile.SYMTYPE)
        + member("./a", kind=tarfile.LNKTYPE)
        + member("./a", kind=tarfile.FIFOTYPE)
        + member("./a", kind=tarfile.CHRTYPE)
        + member("./a/", kind=tarfile.DIRTYPE)
        + member("./a", b"right")
        + member("./a", b"again")
        + member("./unsummed", b"12345")
    )
    reply = HEAD + sums({"a": b"right"}) + b"tar\n" + archive + b"\0" * 1024 + END

    assert read(reply, wanted={"a": 5, "gone": 3, "unsummed": 5}) == {"a": b"right"}


@pytest.mark.parametrize(
    "archive",
    [
        member("x", b"1 path=a\n", kind=tarfile.XHDTYPE),
        member("x", b"", kind=tarfile.XGLTYPE, size=1 << 40),
        member("x", b"", kind=tarfile.GNUTYPE_LONGNAME, size=1 << 40),
        member("x", b"", kind=tarfile.GNUTYPE_SPARSE, size=1 << 40),
        member("x", b"", kind=tarfile.CONTTYPE, size=1 << 60),
        member("x", b"", kind=b"Z"),
        member("x", b"name\0", kind=tarfile.GNUTYPE_LONGNAME) * 2000,
        member("y", b"") * 400,
    ],
    ids=["pax", "global", "long-name", "sparse", "large", "unknown", "names-upon-names", "many"],
)
def test_archive_with_more_than_was_asked_for_is_refused(archive: bytes) -> None:
    reply = HEAD + sums({"a": b"1"}) + b"tar\n" + archive + b"\0" * 1024 + END

    with pytest.raises(BadReply):
        read(reply, wanted={"a": 1})


def endless(head: bytes, piece: bytes) -> Iterator[bytes]:
    """A server that never stops sending."""
    yield head
    yield from itertools.repeat(piece)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"n" * 65536),
        (HEAD, b"n" * 65536),
        (HEAD, sums({"a": b"1"})),
        (HEAD + sums({"a": b"1"}) + b"tar\n" + member("./b", size=1 << 50), b"\0" * 65536),
        (HEAD + sums({"a": b"1"}) + b"tar\n", member("./b")),
        (HEAD + sums({"a": b"1"}) + b"tar\n", b"\0" * 65536),
    ],
    ids=["noise", "line", "sums", "member", "members", "padding"],
)
def test_server_that_sends_without_end_is_cut_off(head: bytes, piece: bytes) -> None:
    with pytest.raises(BadReply):
        read(endless(head, piece), wanted={"a": 1})


def test_archive_that_is_refused_says_why() -> None:
    with pytest.raises(HelperRefused, match="notar"):
        read(answer("notar\n", status=69), wanted={"a": 1})
    with pytest.raises(BadReply):
        read(answer("what\n"), wanted={"a": 1})


def test_empty_archive_holds_nothing() -> None:
    assert read(HEAD + b"tar\n" + b"\0" * 10240 + END, wanted={"a": 1}) == {}


@given(st.binary(max_size=3000))
def test_any_bytes_for_an_archive_are_refused_or_hold_nothing(data: bytes) -> None:
    try:
        found = read(HEAD + sums({"a": b"1"}) + b"tar\n" + data + END, wanted={"a": 1})
    except BadReply:
        return
    assert found == {}
