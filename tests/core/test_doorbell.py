"""Doorbells between real processes over each of the three carriers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import transaction

from buildboard.core.doorbell import Listener, ring, ring_on_commit
from buildboard.core.doorbell.sockets import find_folder, make_folder
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


def test_wait_gives_all_bells_once(data_dir: Path) -> None:
    with Listener() as listener:
        ring("jobs")
        ring("jobs")
        ring("log:1")
        bells = listener.wait(WAIT_SECONDS)
        while bells != {"jobs", "log:1"}:
            more = listener.wait(WAIT_SECONDS)
            assert more
            bells |= more

        assert listener.wait(0.0) == set()


def test_wait_returns_nothing_when_its_time_is_over(data_dir: Path) -> None:
    with Listener() as listener:
        assert listener.wait(0.01) == set()


def test_wake_ends_one_wait_without_a_bell(data_dir: Path) -> None:
    with Listener() as listener:
        listener.wake()

        assert listener.wait(300.0) == set()
        ring("jobs")
        assert listener.wait(WAIT_SECONDS) == {"jobs"}


def test_close_wakes_a_waiting_thread(data_dir: Path) -> None:
    results: list[set[str]] = []
    listener = Listener()
    with listener:
        waiting = threading.Thread(target=lambda: results.append(listener.wait(300.0)))
        waiting.start()

    waiting.join(WAIT_SECONDS)
    assert results == [set()]
    listener.close()


def test_sockets_are_private_and_gone_after_close(data_dir: Path) -> None:
    with Listener():
        sockets = list((data_dir / "bells").iterdir())

        assert [path.stat().st_mode & 0o777 for path in sockets] == [0o600]
        assert (data_dir / "bells").stat().st_mode & 0o777 == 0o700

    assert list((data_dir / "bells").iterdir()) == []


def test_ring_removes_the_socket_of_a_dead_listener(data_dir: Path) -> None:
    folder = make_folder(data_dir)
    stale = folder / "1.dead.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(stale))

    with Listener() as listener:
        ring("jobs")

        assert listener.wait(WAIT_SECONDS) == {"jobs"}
    assert not stale.exists()


def test_ring_does_not_wait_for_a_listener_that_does_not_read(data_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(make_folder(data_dir) / "1.deaf.sock"))
        for _ in range(2000):
            ring("jobs")
        deaf.setblocking(False)

        assert deaf.recv(100) == b"jobs"


def test_ring_without_any_listener_or_data_dir_is_harmless(data_dir: Path, settings: LazySettings) -> None:
    ring("jobs")
    settings.DATA_DIR = data_dir / "absent"
    ring("jobs")


def test_long_data_dir_uses_a_private_short_folder_that_all_find(
    data_dir: Path, settings: LazySettings
) -> None:
    long = data_dir / ("d" * 90)
    long.mkdir()
    settings.DATA_DIR = long

    with Listener() as listener:
        folder = find_folder(long)
        assert folder is not None
        assert (long / "bells").is_symlink()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert make_folder(long) == folder

        ring("jobs")
        assert listener.wait(WAIT_SECONDS) == {"jobs"}

    folder.rmdir()
    assert find_folder(long) is None
    remade = make_folder(long)
    assert remade != folder
    remade.rmdir()


def test_short_folder_that_a_stranger_could_write_is_not_used(data_dir: Path) -> None:
    open_folder = data_dir / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    (data_dir / "bells").symlink_to(open_folder)

    assert find_folder(data_dir) is None


def test_listener_comes_back_when_its_socket_was_removed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("buildboard.core.doorbell.POLL_SECONDS", 0.05)
    monkeypatch.setattr("buildboard.core.doorbell.RETRY_SECONDS", 0.05)
    with Listener() as listener:
        for path in (data_dir / "bells").iterdir():
            path.unlink()
        for _ in range(200):
            ring("jobs")
            if listener.wait(0.1):
                break
        else:
            pytest.fail("never heard again")

    assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["Doorbells are away"]


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


@pytest.mark.redis
def test_ring_is_dropped_at_once_while_redis_is_away(settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    for _ in range(50):
        ring("jobs")
