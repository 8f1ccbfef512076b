"""Doorbells over Unix sockets: files, folders, and the listener that all carriers share."""

import socket
import threading
from pathlib import Path

import pytest
from django.conf import LazySettings

from buildboard.core.doorbell import Listener, ring
from buildboard.core.doorbell.sockets import find_folder, make_folder

pytestmark = pytest.mark.sqlite_only

WAIT_SECONDS = 20.0


@pytest.fixture
def data_dir(tmp_path: Path, settings: LazySettings) -> Path:
    settings.DATA_DIR = tmp_path
    settings.REDIS_URL = ""
    return tmp_path


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
