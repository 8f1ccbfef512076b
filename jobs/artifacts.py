"""Owns the files that builds made: which are kept, where they lie, how they are read. Nobody else touches them.

A name from a server is data: it is stored as text and never becomes a local path. A file lies under the hash of
its content in the storage. Files are never unpacked here.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from jobs.models import Artifact, Attempt

MOST_FILES = 1000
MOST_PATH_CHARACTERS = 1024
# Comparisons of a part of a path with a part of a pattern, of one attempt: some seconds of the runner.
MOST_COMPARISONS = 5_000_000
_BLOCK_BYTES = 1 << 17


class ArtifactError(Exception):
    """A file cannot be kept; the text says why."""


@dataclass(frozen=True)
class Selection:
    """Which of the files found are kept, and in a sentence each what was left out."""

    paths: list[str]
    left_out: list[str]


def select_files(files: Iterable[tuple[str, int]], *, patterns: Sequence[str], limit_bytes: int) -> Selection:
    """The files (path, size) that a pattern names, in order, within the limits of number, name and bytes.

    However patterns and names were chosen, it ends soon: what could not be compared any more is left out.
    """
    globs = [Glob(pattern) for pattern in patterns]
    paths: list[str] = []
    left_out: list[str] = []
    total = 0
    for path, size in sorted(files):
        if sum(glob.comparisons for glob in globs) > MOST_COMPARISONS:
            left_out.append(f"{path[:80]} and what follows: the patterns are too many for so many files")
            break
        if not any(glob.matches(path) for glob in globs):
            continue
        if len(path) > MOST_PATH_CHARACTERS:
            left_out.append(f"{path[:80]}…: its name is longer than {MOST_PATH_CHARACTERS} characters")
        elif len(paths) >= MOST_FILES:
            left_out.append(f"{path}: {MOST_FILES} files are kept at most")
        elif total + size > limit_bytes:
            left_out.append(
                f"{path}: the job's limit of {limit_bytes} bytes is reached (BUILDBOARD_MAX_ARTIFACT_BYTES)"
            )
        else:
            paths.append(path)
            total += size
    for pattern, glob in zip(patterns, globs, strict=True):
        if not glob.found and not left_out:
            left_out.append(f"{pattern}: no file has such a name")
    return Selection(paths, left_out[:100])


class Glob:
    """A pattern: `*` and `?` within a part, `**` for any number of parts, `dir/` for all that lies in it."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.comparisons = 0
        """How many parts were compared so far."""
        self.found = False
        """Whether some path fitted."""

    @cached_property
    def _parts(self) -> list[re.Pattern[str] | None]:
        """What fits each part; None for `**`, of which one is as good as several in a row."""
        text = self._pattern + "**" if self._pattern.endswith("/") else self._pattern
        parts = text.removeprefix("./").split("/")
        kept = [part for part, same in groupby(parts) for part in ([part] if part == "**" else same)]
        return [None if part == "**" else re.compile(translate(part)) for part in kept]

    def matches(self, path: str) -> bool:
        """Whether it names this path. Linear in the parts of both; a part's expression does not backtrack."""
        reached = {0}  # how many parts of the pattern may be used up by the parts of the path so far
        for part in path.split("/"):
            reached = self._after(part, reached)
            if not reached:
                return False
        self.found = self.found or len(self._parts) in reached
        return len(self._parts) in reached

    def _after(self, part: str, reached: set[int]) -> set[int]:
        wanted, last = self._parts, len(self._parts) - 1
        following = set()
        for position in _skip_stars(reached, wanted):
            if position > last:
                continue
            self.comparisons += 1
            expression = wanted[position]
            if expression is None:
                following |= {position, position + 1} if position == last else {position}
            elif expression.match(part):
                following.add(position + 1)
        return following


def matches(path: str, pattern: str) -> bool:
    """Whether a glob names this path."""
    return Glob(pattern).matches(path)


def _skip_stars(reached: set[int], wanted: Sequence[object]) -> set[int]:
    """`**` may stand for no part at all, but not at the end: `out/**` is what lies in `out`."""
    last = len(wanted) - 1
    return reached | {position + 1 for position in reached if position < last and wanted[position] is None}


def keep_file(attempt: Attempt, *, path: str, chunks: Iterable[bytes], limit_bytes: int) -> Artifact:
    """Store one file of an attempt, whole or not at all; again with the same path: the first one stays.

    Raises ArtifactError past `limit_bytes`.
    """
    found = Artifact.objects.filter(attempt=attempt, path=path).first()
    if found is not None:
        return found
    digest, size = hashlib.sha256(), 0
    folder = _root() / "artifacts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".part-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as target:
            for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise ArtifactError(f"{path} grew past {limit_bytes} bytes while it was read.")
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        key = f"artifacts/{digest.hexdigest()[:2]}/{digest.hexdigest()}"
        place = _root() / key
        place.parent.mkdir(mode=0o700, exist_ok=True)
        Path(draft).replace(place)
    finally:
        Path(draft).unlink(missing_ok=True)
    artifact, _ = Artifact.objects.get_or_create(
        attempt=attempt, path=path, defaults={"size": size, "sha256": digest.hexdigest(), "storage_key": key}
    )
    return artifact


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


def _root() -> Path:
    return Path(unquote(urlsplit(settings.STORAGE_URL).path))
