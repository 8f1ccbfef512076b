"""What must be there before the processes start: data dir, tables, the first account.

Each problem is one sentence (NotPreparedError). Settings that do not fit are not its matter (settings.py).
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction
from django.db.migrations.exceptions import MigrationSchemaMissing

from buildboard import sqlite_file
from buildboard.core.audit import Actor, record_event
from buildboard.core.auth import create_token
from buildboard.core.models import User
from buildboard.core.permissions import Role, Scope

ADMIN = "admin"
# Any number that nothing else in the same database uses.
_MIGRATION_LOCK = 0x62756C64


class NotPreparedError(Exception):
    """The board cannot start; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class FirstAccount:
    """What the first start made. `password` is empty when the environment gave it; both are shown once."""

    password: str
    token: str


def check_data_dir() -> None:
    """See whether files can be made in the data dir. Raises NotPreparedError."""
    probe = Path(settings.DATA_DIR, f".probe.{os.getpid()}")
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise NotPreparedError(
            f"the data dir {settings.DATA_DIR} cannot be written ({error.strerror}); "
            "give this account the right to write there, or set BUILDBOARD_DATA_DIR to another folder"
        ) from error


def prepare_database() -> None:
    """Bring the tables up to date; of several machines that start at once one does it, the others wait.

    From then on this process makes no database file any more. Raises NotPreparedError when the database is away or
    refuses, or when its file is missing beside what builds left in the storage.
    """
    file = sqlite_file.path_of(str(connection.settings_dict["NAME"]))
    if connection.vendor == "sqlite":
        _miss_no_file(file)
    try:
        with _migration_lock():
            call_command("migrate", interactive=False, verbosity=0)
    except (DatabaseError, InterfaceError, MigrationSchemaMissing) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = "DATABASE_URL" if connection.vendor == "postgresql" else file
        raise NotPreparedError(f"the database ({where}) cannot be used: {reason}") from error
    if connection.vendor == "sqlite":
        connection.settings_dict["NAME"] = sqlite_file.name_of(file)  # of the connections of all threads


def _miss_no_file(file: Path) -> None:
    """A new database would know nothing of what lies in the storage, and a new board would clear it away."""
    address = urlsplit(str(settings.STORAGE_URL))
    storage = Path(unquote(address.path))
    if file.exists() or address.scheme != "file" or not any(one.is_file() for one in storage.rglob("*")):
        return
    raise NotPreparedError(
        f"there is no database {file}, but {storage} has logs or artifacts of a board; put the file back, "
        f"or set DATABASE_URL to where the database is, or move {storage} away to begin a new board"
    )


@contextmanager
def _migration_lock() -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
        return
    with Path(settings.DATA_DIR, "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def create_first_account() -> FirstAccount | None:
    """Make the user `admin` with an API token when there is no user at all; None when there is one."""
    given = str(settings.ADMIN_PASSWORD)
    password = given or secrets.token_urlsafe(15)
    try:
        token = _make_admin(password)
    except IntegrityError:  # another machine that starts now was faster
        return None
    return FirstAccount(password="" if given else password, token=token) if token else None


def _make_admin(password: str) -> str:
    """The token of the new user; empty when there are users already."""
    with transaction.atomic():
        if User.objects.exists():
            return ""
        admin = User.objects.create_user(ADMIN, password=password, role=Role.ADMIN)
        actor = Actor(door="command")
        record_event(
            "user",
            subject_id=admin.pk,
            kind="user_created",
            actor=actor,
            data={"username": ADMIN, "role": Role.ADMIN},
        )
        _, token = create_token(admin, name="first start", scopes=[Scope.OPERATE], actor=actor)
    return token
