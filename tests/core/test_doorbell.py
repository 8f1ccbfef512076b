"""Doorbells between real processes over each of the three carriers."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from buildboard.core.doorbell import Listener, ring, ring_on_commit
from tests.requirements import require
from tests.services import postgres_url, redis_url

WAIT_SECONDS = 20.0
LISTEN = """
import django; django.setup()
from buildboard.core.doorbell import Listener
with Listener() as listener:
    print("ready", flush=True)
    while "end" not in (bells := listener.wait(20.0)):
        print(*sorted(bells), flush=True)
print("done", flush=True)
"""
RING = """
import sys
import django; django.setup()
from buildboard.core.doorbell import ring
for bell in sys.argv[1:]:
    ring(bell)
"""


def on_sqlite(folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": "", "REDIS_URL": ""}


def on_postgres(folder: Path) -> dict[str, str]:
    require("postgres")
    return {"DATABASE_URL": postgres_url(), "REDIS_URL": ""}


def on_redis(folder: Path) -> dict[str, str]:
    require("redis")
    return {"DATABASE_URL": "", "REDIS_URL": redis_url()}


CARRIERS = pytest.mark.parametrize(
    "carrier",
    [
        on_sqlite,
        pytest.param(on_postgres, marks=pytest.mark.postgres),
        pytest.param(on_redis, marks=pytest.mark.redis),
    ],
)


@pytest.fixture
def data_dir(tmp_path: Path, settings: LazySettings) -> Path:
    settings.DATA_DIR = tmp_path
    settings.REDIS_URL = ""
    return tmp_path


def environment(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    named = {"DJANGO_SETTINGS_MODULE": "buildboard.settings", "BUILDBOARD_DATA_DIR": str(folder)}
    return {**os.environ, **named, **extra}


@contextmanager
def listening(env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([sys.executable, "-c", LISTEN], env=env, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def heard(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


@pytest.mark.slow
@CARRIERS
def test_ring_reaches_every_listening_process(
    tmp_path: Path, carrier: Callable[[Path], dict[str, str]]
) -> None:
    env = environment(tmp_path, carrier(tmp_path))
    with listening(env) as first, listening(env) as second:
        subprocess.run([sys.executable, "-c", RING, "jobs"], env=env, check=True)

        assert heard(first) == ["jobs"]
        assert heard(second) == ["jobs"]

        subprocess.run([sys.executable, "-c", RING, "end"], env=env, check=True)

        assert heard(first) == ["done"]
        assert first.wait(WAIT_SECONDS) == 0
        assert second.wait(WAIT_SECONDS) == 0


@pytest.mark.slow
@pytest.mark.postgres
def test_listener_hears_again_after_postgres_ended_its_connection(tmp_path: Path) -> None:
    env = environment(tmp_path, on_postgres(tmp_path))
    end_listeners = (
        "import django; django.setup()\nfrom django.db import connection\n"
        'connection.cursor().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
        "WHERE query LIKE 'LISTEN%'\")"
    )
    with listening(env) as listener:
        subprocess.run([sys.executable, "-c", end_listeners], env=env, check=True)
        ringing = threading.Event()

        def ring_until_heard() -> None:
            while not ringing.wait(0.5):
                subprocess.run([sys.executable, "-c", RING, "again"], env=env, check=True)

        ringer = threading.Thread(target=ring_until_heard)
        ringer.start()
        try:
            assert heard(listener) == ["again"]
        finally:
            ringing.set()
            ringer.join()


@pytest.mark.django_db(transaction=True)
def test_ring_on_commit_waits_for_the_commit(data_dir: Path) -> None:
    with Listener() as listener:
        with transaction.atomic():
            ring_on_commit("jobs")
            assert listener.wait(0.1) == set()

        assert listener.wait(WAIT_SECONDS) == {"jobs"}


@pytest.mark.django_db(transaction=True)
def test_ring_on_commit_is_silent_after_a_rollback(data_dir: Path) -> None:
    with Listener() as listener:
        with pytest.raises(RuntimeError), transaction.atomic():
            ring_on_commit("jobs")
            raise RuntimeError

        assert listener.wait(0.1) == set()


@pytest.mark.django_db(transaction=True)
def test_ring_on_commit_rings_once_for_all_of_a_transaction_but_what_was_rolled_back(data_dir: Path) -> None:
    with Listener() as listener:
        with transaction.atomic():
            with pytest.raises(RuntimeError), transaction.atomic():
                ring_on_commit("jobs")
                raise RuntimeError
            with transaction.atomic():
                ring_on_commit("jobs")
                ring_on_commit("queue")
            ring_on_commit("jobs")
            ring_on_commit("jobs")
            assert len(connection.run_on_commit) == 2

        assert listener.wait(WAIT_SECONDS) <= {"jobs", "queue"}


@pytest.mark.redis
def test_ring_is_dropped_at_once_while_redis_is_away(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    for _ in range(50):
        ring("jobs")
