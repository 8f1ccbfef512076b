"""Owns the files that builds made: how they are kept, where they lie, how they are read. Nobody else touches them.

A name from a server is data: it is stored as text and never becomes a local path. A file lies under the hash of
its content in the storage. Files are never unpacked here. Which files are wanted is selection.py's business.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from jobs.models import Artifact, Attempt

BATCH_FILES = 64
BATCH_BYTES = 32 << 20
BATCH_SECONDS = 1.0
_BLOCK_BYTES = 1 << 17
_DRAFT = ".part-"
_STALE_SECONDS = 86_400


class ArtifactError(Exception):
    """This file cannot be kept, others can; the text says why."""


class StorageError(Exception):
    """Nothing can be kept now: the board's own storage is full or broken. The text says why."""


@dataclass
class _Draft:
    """A file on its way into the storage. While it is open it is locked: nobody takes it for a leftover."""

    name: Path
    target: BufferedWriter
    path: str
    size: int = 0
    sha256: str = ""

    def drop(self) -> None:
        """Close it, and remove it where it has not moved to its place."""
        with contextlib.suppress(OSError):
            self.target.close()
        self.name.unlink(missing_ok=True)


class Keeper:
    """Keeps files of one attempt, each whole or not at all; the end of its block writes down the last of them.

    A few at a time are flushed to the disk, moved to their places and written as rows. Whoever is killed leaves no
    row without its file, and drafts, which the next one for the same attempt removes.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._folder = _root() / "artifacts"
        self._drafts: list[_Draft] = []
        self._flushed_at = time.monotonic()
        self.kept = set(Artifact.objects.filter(attempt=attempt).values_list("path", flat=True))
        """The paths that need not be read any more."""

    def __enter__(self) -> "Keeper":
        with _storage():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_leftovers(self._folder, attempt=self._attempt)
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def keep(self, *, path: str, chunks: Iterable[bytes], limit_bytes: int, sha256: str = "") -> None:
        """Take in one file; one whose path is kept already is not read.

        Raises ArtifactError past `limit_bytes` and for other bytes than `sha256` stands for; StorageError.
        """
        if path in self.kept:
            return
        draft = self._begin(path)
        try:
            _write(draft, chunks, limit_bytes=limit_bytes)
            if sha256 and sha256 != draft.sha256:
                raise ArtifactError(f"{path}: it changed while it was read")
        except BaseException:
            draft.drop()
            raise
        self._drafts.append(draft)
        self.kept.add(path)
        full = len(self._drafts) >= BATCH_FILES or sum(one.size for one in self._drafts) >= BATCH_BYTES
        if full or time.monotonic() - self._flushed_at >= BATCH_SECONDS:
            self.flush()

    def _begin(self, path: str) -> _Draft:
        with _storage():
            descriptor, name = tempfile.mkstemp(prefix=f"{_DRAFT}{self._attempt.pk}-", dir=self._folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return _Draft(Path(name), os.fdopen(descriptor, "wb"), path)

    def flush(self) -> None:
        """Make sure that what was taken in so far is kept. Raises StorageError: then none of it is."""
        drafts, self._drafts, self._flushed_at = self._drafts, [], time.monotonic()
        try:
            with _storage():
                _settle(drafts)
            rows = (
                Artifact(
                    attempt=self._attempt,
                    path=draft.path,
                    size=draft.size,
                    sha256=draft.sha256,
                    storage_key=_key(draft.sha256),
                )
                for draft in drafts
            )
            Artifact.objects.bulk_create(rows, ignore_conflicts=True)
        finally:
            for draft in drafts:
                draft.drop()


def keep_file(attempt: Attempt, *, path: str, chunks: Iterable[bytes], limit_bytes: int) -> Artifact:
    """Store one file of an attempt, whole or not at all; again with the same path: the first one stays.

    Raises ArtifactError past `limit_bytes`, StorageError.
    """
    with Keeper(attempt) as keeper:
        keeper.keep(path=path, chunks=chunks, limit_bytes=limit_bytes)
    return Artifact.objects.get(attempt=attempt, path=path)


def read_artifact(artifact: Artifact, *, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to `end` (exclusive), block by block. Raises ArtifactError when the file is gone."""
    try:
        source = (_root() / artifact.storage_key).open("rb")
    except OSError as error:
        raise ArtifactError(f"{artifact.path} is no longer in the storage.") from error
    return _read(source.fileno(), source, start, end)


def _read(descriptor: int, source: BufferedReader, start: int, end: int) -> Iterator[bytes]:
    with source:
        offset = start
        while offset < end:
            block = os.pread(descriptor, min(_BLOCK_BYTES, end - offset), offset)
            if not block:
                return
            offset += len(block)
            yield block


def _write(draft: _Draft, chunks: Iterable[bytes], *, limit_bytes: int) -> None:
    digest = hashlib.sha256()
    for chunk in chunks:
        draft.size += len(chunk)
        if draft.size > limit_bytes:
            raise ArtifactError(f"{draft.path}: it grew past {limit_bytes} bytes while it was read")
        digest.update(chunk)
        with _storage():
            draft.target.write(chunk)
    draft.sha256 = digest.hexdigest()


def _settle(drafts: Iterable[_Draft]) -> None:
    """Move whole files to their places, so that they are there after a loss of power too."""
    folders = set()
    for draft in drafts:
        draft.target.flush()
        os.fsync(draft.target.fileno())
    for draft in drafts:
        place = _root() / _key(draft.sha256)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        draft.name.replace(place)
        folders |= {place.parent, place.parent.parent}
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(folder: Path, *, attempt: Attempt) -> None:
    """Drafts that a killed process left of this attempt, or of any one a day ago."""
    for draft in folder.glob(f"{_DRAFT}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody writes to it
            is_old = time.time() - draft.stat().st_mtime > _STALE_SECONDS
            if is_old or draft.name.startswith(f"{_DRAFT}{attempt.pk}-"):
                with draft.open("rb+") as source:
                    fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    draft.unlink()


@contextlib.contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"the board's own storage cannot be written to: {error.strerror}") from error


def _key(sha256: str) -> str:
    return f"artifacts/{sha256[:2]}/{sha256}"


def _root() -> Path:
    return Path(unquote(urlsplit(settings.STORAGE_URL).path))
