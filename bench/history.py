"""A long history of finished jobs, each with an attempt and an event, written by the database itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection
from django.db.models import Model

from buildboard.core.models import Event
from jobs.models import Attempt, BuildJob
from jobs.views.pages import NEWEST, ORDERS, write_cursor

_AT_ONCE = 100_000
_REPOSITORY = "https://git.example/history-"
# By database: a time so many seconds ago, a new id, and numbers from one to before another.
_AGO = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || ({0}) || ' seconds')",
    "postgresql": "now() - ({0}) * interval '1 second'",
}
_NEW_ID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}
# Indexes that no constraint needs, and how each is made.
_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT LIKE '%%UNIQUE%%' "
    "AND instr(%s, ' ' || tbl_name || ' ')",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE indexdef NOT LIKE '%%UNIQUE%%' "
    "AND position(' ' || tablename || ' ' IN %s) > 0",
}
_NUMBERS = {
    "sqlite": "(WITH RECURSIVE upto(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM upto WHERE n + 1 < {1}) "
    "SELECT n FROM upto)",
    "postgresql": "(SELECT generate_series({0}, {1} - 1) AS n)",
}


def add_history(*, up_to: int, before_days: int) -> None:
    """So many finished jobs in all: those that are missing are older than so many days, one a minute."""
    if connection.vendor == "sqlite":
        for pragma in ("synchronous = OFF", "journal_mode = MEMORY", "cache_size = -400000"):
            _execute(f"PRAGMA {pragma}")
    with _indexes_made_afterwards("jobs_buildjob", "jobs_attempt", "core_event"):
        for first in range(BuildJob.objects.finished().count(), up_to, _AT_ONCE):
            _add_jobs(first, min(up_to, first + _AT_ONCE), before_days=before_days)
        _add_attempts_and_events()
    if connection.vendor == "postgresql":
        _execute("VACUUM ANALYZE")  # as autovacuum does sooner or later
    else:
        _execute("PRAGMA journal_mode = WAL")
        connection.close()  # so that the rest is as everywhere


@contextmanager
def _indexes_made_afterwards(*tables: str) -> Iterator[None]:
    """Without the tables' indexes for the time being, but for those of keys: a million rows come in much faster."""
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES[connection.vendor], [f" {' '.join(tables)} "])
        found = cursor.fetchall()
    for name, _ in found:
        _execute(f'DROP INDEX "{name}"')
    yield
    for _, definition in found:
        _execute(definition)


def last_jobs() -> tuple[str, str, str]:
    """A cursor in the middle of the list, and the ids of a finished job and of the server of the whole history."""
    newest = BuildJob.objects.order_by("-created_at", "-id")
    middle = newest[newest.count() // 2]
    finished = newest.filter(status="completed")[:1].get()
    return write_cursor(middle, order=ORDERS[NEWEST]), str(finished.pk), str(_model_job().server_id)


def _add_jobs(first: int, end: int, *, before_days: int) -> None:
    ago = _AGO[connection.vendor]
    age = f"{before_days * 86400} + n * 60"
    ran = "(30 + (n % 3600 * 7919) % 3600)"  # of small numbers: PostgreSQL counts in 32 bits
    changed = {
        "id": _NEW_ID[connection.vendor],
        "source_repository": f"'{_REPOSITORY}' || (n % 40) || '.git'",
        "branch": "'branch-' || (n % 60)",
        "target_architecture": _one_of("n % 4", ["x86_64", "aarch64", "riscv64", "armv7"]),
        "status": _one_of("n % 20", ["failed", "failed", "cancelled", *["completed"] * 17]),
        "error_message": "CASE WHEN n % 20 < 2 THEN 'error: number ' || n ELSE '' END",
        "server_name": "'old-' || (n % 12)",
        "created_at": ago.format(f"{age} + {ran} + n % 300"),
        "started_at": ago.format(f"{age} + {ran}"),
        "completed_at": ago.format(age),
        "updated_at": ago.format(age),
    }
    _copy(
        _model_job(), changed=changed, source=f"{_NUMBERS[connection.vendor].format(first, end)} AS numbers"
    )


def _model_job() -> BuildJob:
    """What those of the history are made like."""
    return BuildJob.objects.finished().exclude(server=None).order_by("-created_at")[:1].get()


def _add_attempts_and_events() -> None:
    """One of each for every job of the history; the events are the oldest that there are."""
    history = f"SELECT * FROM jobs_buildjob WHERE source_repository LIKE '{_REPOSITORY}%'"  # noqa: S608  # our own words
    jobs = f"({history}) AS job"
    told = {
        "sequence": "(SELECT min(sequence) FROM core_event) - row_number() OVER ()",
        "id": _NEW_ID[connection.vendor],
        "at": "job.completed_at",
        "subject_id": "job.id",
        "kind": "job.status",
    }
    _copy(Event.objects.filter(subject_type="job")[:1].get(), changed=told, source=jobs)
    same = ("status", "server_id", "server_name", "created_at", "started_at", "completed_at", "error_message")
    done = {
        "id": _NEW_ID[connection.vendor],
        "job_id": "job.id",
        "number": "1",
        "cleaned_at": "job.completed_at",
        **{name: f"job.{name}" for name in same},
    }
    _copy(Attempt.objects.filter(log_size=0)[:1].get(), changed=done, source=jobs)


def _copy(like: Model, *, changed: Mapping[str, str], source: str) -> None:
    """A row like this one for each of the source, but for what is changed."""
    table = like._meta.db_table
    columns = [str(field.column) for field in like._meta.concrete_fields if not field.generated]
    key = like._meta.pk
    assert key is not None
    values = [changed.get(name, f'model."{name}"') for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    prepared = key.get_db_prep_value(like.pk, connection)
    _execute(
        f"INSERT INTO {table} ({names}) "  # noqa: S608  # of the words above
        f"SELECT {', '.join(values)} FROM {source}, {table} model "
        f"WHERE model.{key.column} = '{prepared}'"
    )


def _one_of(number: str, words: list[str]) -> str:
    cases = " ".join(f"WHEN {at} THEN '{word}'" for at, word in enumerate(words))
    return f"CASE {number} {cases} END"


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
