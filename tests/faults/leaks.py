"""Texts that must be nowhere, in every form in which they could be, and where to look for them. It asserts nothing."""

import base64
import contextlib
import http.cookiejar
import re
import struct
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql

_HELD = 33  # bytes of a private part that a needle covers at least


def forms_of(raw: bytes) -> set[bytes]:
    """A secret as it is, in hexadecimal, and in base64 wherever in a longer text it begins."""
    found = {raw, raw.hex().encode()}
    for shift in range(3):
        for codec in (base64.b64encode, base64.urlsafe_b64encode):
            text = codec(bytes(shift) + raw).rstrip(b"=")
            # The first characters and the last hold bits of what is beside it.
            found.add(text[4 if shift else 0 : -1])
    return found


def needles_of_key(text: str) -> set[bytes]:
    """Of an OpenSSH ed25519 key without a passphrase: every line beyond its public half, and the key itself."""
    lines = text.strip().splitlines()[1:-1]
    blob = base64.b64decode("".join(lines))
    at = len(b"openssh-key-v1\0")
    for _ in range(3):  # cipher, its key's derivation and the options of that
        at += 4 + struct.unpack_from(">I", blob, at)[0]
    at += 4
    at += 4 + struct.unpack_from(">I", blob, at)[0]  # the public half
    at += 4 + 8  # the private part's length, and two numbers that tell whether it was decrypted well
    for _ in range(2):  # type and public half
        at += 4 + struct.unpack_from(">I", blob, at)[0]
    seed = blob[at + 4 : at + 4 + 32]
    return forms_of(seed) | {line.encode() for line in lines[2:] if len(line) >= _HELD}


class Lines:
    """Every command line that any process of the machine has while it watches, and sightings of needles in them."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = tuple(needles)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: set[bytes] = set()
        self.sighted: list[bytes] = []

    def __enter__(self) -> "Lines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes()
                    if line not in self.seen:
                        self.seen.add(line)
                        self.sighted += [line for needle in self._needles if needle in line]


def environments(pids: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """What each of them has in its environment."""
    for pid in pids:
        with contextlib.suppress(OSError):
            yield f"environment of {pid}", Path(f"/proc/{pid}/environ").read_bytes()


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every regular file below, links not followed."""
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    yield str(path), path.read_bytes()


def tables(url: str) -> Iterator[tuple[str, bytes]]:
    """Every table of a PostgreSQL database, as `pg_dump` writes it."""
    with psycopg.connect(url) as postgres:
        names = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            with postgres.cursor() as cursor:
                command = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))
                with cursor.copy(command) as copy:
                    yield f"table {name}", b"".join(bytes(piece) for piece in copy)


class Visitor:
    """A person with a browser that runs no scripts."""

    def __init__(self, url: str) -> None:
        self._url = url
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def sign_in(self, name: str, password: str) -> None:
        """By the page. Raises HTTPError."""
        found = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', self.page("/login/"))
        assert found is not None
        fields = {"username": name, "password": password, "csrfmiddlewaretoken": found.group(1).decode()}
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self._url}/login/",
            data=urllib.parse.urlencode(fields).encode(),
            headers={"Referer": self._url},
        )
        self._opener.open(request, timeout=60).close()

    def page(self, path: str) -> bytes:
        """What a page answers. Raises HTTPError."""
        with self._opener.open(f"{self._url}{path}", timeout=60) as answer:
            return bytes(answer.read())
