"""Owns the files that builds made: which are kept, where they lie, how they are read. Nobody else touches them.

A name from a server is data: it is stored as text and never becomes a local path. A file lies under the hash of
its content in the storage. Files are never unpacked here.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from jobs.models import Artifact, Attempt

MOST_FILES = 1000
MOST_PATH_CHARACTERS = 1024
_BLOCK_BYTES = 1 << 17


class ArtifactError(Exception):
    """A file cannot be kept; the text says why."""


@dataclass(frozen=True)
class Selection:
    """Which of the files found are kept, and in a sentence each what was left out."""

    paths: list[str]
    left_out: list[str]


def select_files(files: Iterable[tuple[str, int]], *, patterns: Sequence[str], limit_bytes: int) -> Selection:
    """The files (path, size) that a pattern names, in order, within the limits of number, name and bytes."""
    paths: list[str] = []
    left_out: list[str] = []
    total = 0
    for path, size in sorted(files):
        if not any(matches(path, pattern) for pattern in patterns):
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
    for pattern in patterns:
        if not any(matches(path, pattern) for path in paths) and not left_out:
            left_out.append(f"{pattern}: no file has such a name")
    return Selection(paths, left_out[:100])


def matches(path: str, pattern: str) -> bool:
    """Whether a glob names this path: `*` and `?` within a part, `**` for any number of parts, `dir/` for all in it.

    Linear in the parts of both (each part by fnmatch, whose expressions do not backtrack).
    """
    wanted = (pattern + "**" if pattern.endswith("/") else pattern).removeprefix("./").split("/")
    reached = {0}  # how many parts of the pattern may be used up by the parts of the path so far
    for part in path.split("/"):
        reached = _skip_stars(reached, wanted)
        following = set()
        for position in reached:
            if position < len(wanted) and wanted[position] == "**":
                following |= {position, position + 1} if position == len(wanted) - 1 else {position}
            elif position < len(wanted) and fnmatchcase(part, wanted[position]):
                following.add(position + 1)
        reached = following
    return len(wanted) in reached


def _skip_stars(reached: set[int], wanted: list[str]) -> set[int]:
    """`**` may stand for no part at all, but not at the end: `out/**` is what lies in `out`."""
    skipped = set(reached)
    for position in sorted(reached):
        while position < len(wanted) - 1 and wanted[position] == "**":
            position += 1
            skipped.add(position)
    return skipped


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
