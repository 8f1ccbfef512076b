"""Owns the files of sealed logs in the storage: written whole or not at all, read in parts, removed.

Which log an object belongs to, and when it may go, is seal.py's matter.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from django.conf import settings

_DRAFT = ".part"


def new_key(attempt_id: UUID) -> str:
    """A name for an object of this attempt that no other has."""
    return f"logs/{attempt_id.hex[:2]}/{attempt_id}-{uuid4().hex[:12]}.zst"


@contextmanager
def create(key: str) -> Iterator[BufferedWriter]:
    """Write an object; at the end of the block it is on the disk and has its name. Raises OSError.

    When the block raises, nothing of it stays.
    """
    place = _root() / key
    draft = place.with_name(place.name + _DRAFT)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with draft.open("xb") as target:
            draft.chmod(0o600)
            yield target
            target.flush()
            os.fsync(target.fileno())
        draft.rename(place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    for folder in (place.parent, place.parent.parent, place.parent.parent.parent):
        _settle(folder)


def open_object(key: str) -> FileIO:
    """An object to read. Raises OSError when it is gone."""
    return (_root() / key).open("rb", buffering=0)


def remove(key: str) -> None:
    """Remove an object and what is left of writing it; one that is gone already is no error."""
    place = _root() / key
    place.with_name(place.name + _DRAFT).unlink(missing_ok=True)
    place.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _root() -> Path:
    return Path(unquote(urlsplit(settings.STORAGE_URL).path))
