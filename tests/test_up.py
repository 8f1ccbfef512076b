"""`up`: what it prints, what it prepares, and the one sentence when it cannot start."""

import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.boards import ROOT, RunningBoard, running_board
from tests.requirements import require

# The boards here have databases of their own.
pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]

WAIT_SECONDS = 60.0
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


def obey_file_modes() -> None:
    """In a child of root: give up what lets root write everywhere."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None).prctl
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            prctl(_PR_CAPBSET_DROP, capability)


def run_command(*arguments: str, data_dir: Path, **extra: str) -> tuple[int, str]:
    """The exit status of a command of manage.py, and all that it printed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BUILDBOARD_")}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**plain, "DATABASE_URL": "", "BUILDBOARD_DATA_DIR": str(data_dir), **extra},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
        preexec_fn=obey_file_modes,
    )
    return done.returncode, done.stdout + done.stderr


def read(board: RunningBoard, path: str, **headers: str) -> tuple[int, dict[str, object]]:
    client = HTTPConnection("127.0.0.1", board.port, timeout=30)
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    body = answer.read()
    client.close()
    return answer.status, json.loads(body)


def servers(board: RunningBoard) -> list[tuple[object, ...]]:
    return board.query("SELECT name, enabled FROM servers_buildserver")


# ---- the first start, and later ones --------------------------------------------------------------------


@pytest.fixture(scope="module")
def board() -> Iterator[RunningBoard]:
    with running_board(bare=True) as running:
        yield running


def test_first_start_prints_address_password_and_token_once(board: RunningBoard) -> None:
    assert re.search(r"^  Ready: http://127\.0\.0\.1:\d+/$", board.output, re.M)
    assert re.search(r"^  Sign in as   admin$", board.output, re.M)
    assert len(re.findall(r"^  Password     \S{16,}$", board.output, re.M)) == 1
    assert len(re.findall(r"^  API token    bb_[0-9a-f]{32}_\S{32,}$", board.output, re.M)) == 1
    assert "shown only this once" in board.output


def test_first_start_says_whose_rights_local_builds_have(board: RunningBoard) -> None:
    said = " ".join(board.output.split())

    assert "Builds on the server `local` run on this machine with the board's rights, as " in said
    assert "start with --no-local-server to leave that server out." in said
    assert servers(board) == [("local", 1)]


def test_printed_password_and_token_are_good(board: RunningBoard) -> None:
    password, token = re.findall(r"^  (?:Password|API token) +(\S+)$", board.output, re.M)
    program = (
        "from buildboard.core.models import User\nfrom buildboard.core.auth import authenticate_token\n"
        f"admin = User.objects.get(); principal = authenticate_token({token!r})\n"
        f"print(admin.username, admin.role, admin.check_password({password!r}), sorted(principal.rights))"
    )

    said = board.run(program)

    assert said.startswith("admin admin True [<Right.OPERATE: 'operate'>, <Right.PUBLIC: 'public'>")


def test_secrets_and_data_dir_are_private(board: RunningBoard) -> None:
    modes = {
        name: (board.data_dir / name).stat().st_mode & 0o777 for name in ("", "secret_key", "bells", "busy")
    }

    assert modes == {"": 0o700, "secret_key": 0o600, "bells": 0o700, "busy": 0o700}


def test_probes_answer(board: RunningBoard) -> None:
    assert read(board, "/healthz") == (200, {"status": "ok"})
    status, body = read(board, "/readyz")
    assert status == 200
    checks = [{"name": name, "ok": True, "detail": ""} for name in ("database", "runner", "worker")]
    assert body == {"status": "ready", "checks": checks}


def test_database_file_that_is_gone_later_is_not_made_again(tmp_path: Path) -> None:
    board = RunningBoard(tmp_path, bare=True)

    said = board.run(
        "from django.db import OperationalError, connection, connections\n"
        "from buildboard.preparation import prepare_database\n"
        "prepare_database(); connections.close_all()\n"
        f"import pathlib; file = pathlib.Path({str(board.data_dir)!r}, 'buildboard.sqlite3')\n"
        "file.rename(file.with_suffix('.away'))\n"
        "try: connection.cursor()\n"
        "except OperationalError as error: print(error, file.exists())"
    )

    assert said == "unable to open database file False\n"


def test_second_up_on_the_same_data_dir_is_refused(board: RunningBoard) -> None:
    status, said = run_command("up", "--port", "0", data_dir=board.data_dir)

    assert (status, said) == (
        1,
        f"CommandError: the data dir {board.data_dir} is in use by another board "
        f"(process {board.process.pid}); stop that one, or set BUILDBOARD_DATA_DIR to another folder\n",
    )


def test_later_start_prints_no_secrets_and_leaves_the_local_server_out_when_told() -> None:
    named = {"BUILDBOARD_ADMIN_PASSWORD": "given by hand", "BUILDBOARD_ALLOWED_HOSTS": ".board.example"}
    with running_board(extra=named, bare=True) as first:
        assert "given by hand" not in first.output
        assert "  Password     (BUILDBOARD_ADMIN_PASSWORD)" in first.lines
        first.stop()
        with RunningBoard(first.folder, "--no-local-server").running() as later:
            assert "API token" not in later.output
            assert "server `local`" not in later.output
            assert servers(later) == [("local", 0)]


# ---- what keeps it from starting ------------------------------------------------------------------------


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        status, said = run_command("up", "--port", str(port), data_dir=tmp_path)

    assert (status, said) == (
        1,
        f"CommandError: port {port} of 127.0.0.1 is in use; stop what listens there, "
        "or choose another with --port\n",
    )


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder of another account, or one that only its owner's chmod could open again."""
    folder = Path(tempfile.mkdtemp(prefix="bb-read-only-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_data_dir_that_cannot_be_made(foreign_folder: Path) -> None:
    data_dir = foreign_folder / "data"

    status, said = run_command("up", "--port", "0", data_dir=data_dir)

    assert (status, said) == (
        1,
        f"buildboard: BUILDBOARD_DATA_DIR: the data dir {data_dir} cannot be made or used "
        "(Permission denied); name a folder that this account may write\n",
    )


def test_data_dir_that_is_read_only(foreign_folder: Path) -> None:
    require("root")  # to make a folder of another account
    secrets = {"BUILDBOARD_SECRET_KEY": "x" * 60, "BUILDBOARD_ENCRYPTION_KEYS": "A" * 43 + "="}

    status, said = run_command("up", "--port", "0", data_dir=foreign_folder, **secrets)

    assert (status, said) == (
        1,
        f"CommandError: the data dir {foreign_folder} cannot be written (Permission denied); "
        "give this account the right to write there, or set BUILDBOARD_DATA_DIR to another folder\n",
    )


@pytest.mark.parametrize("command", [["up", "--port", "0"], ["web", "--port", "0"], ["worker"]])
def test_database_that_is_away(tmp_path: Path, command: list[str]) -> None:
    status, said = run_command(*command, data_dir=tmp_path, DATABASE_URL="postgresql://x@127.0.0.1:1/x")

    assert status == 1
    # Warnings of the system checks may come before.
    assert said.splitlines()[-1].startswith("CommandError: the database (DATABASE_URL) cannot be used: ")
    assert "Traceback" not in said


def test_database_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "buildboard.sqlite3"
    file.write_text("no database at all, but long enough to be read as one" * 100)

    status, said = run_command("up", "--port", "0", data_dir=tmp_path)

    assert (status, said) == (
        1,
        f"CommandError: the database ({file}) cannot be used: file is not a database\n",
    )


def test_database_file_that_is_missing_beside_a_board_s_logs(tmp_path: Path) -> None:
    log = tmp_path / "storage" / "logs" / "ab" / "abc.zst"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"a log")
    file = tmp_path / "buildboard.sqlite3"

    status, said = run_command("up", "--port", "0", data_dir=tmp_path)

    assert (status, said) == (
        1,
        f"CommandError: there is no database {file}, but {tmp_path}/storage has logs or artifacts of a board; "
        f"put the file back, or set DATABASE_URL to where the database is, or move {tmp_path}/storage away "
        "to begin a new board\n",
    )
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "99999"], "argument --port: must be a port number from 0 to 65535, not '99999'"),
        (["--web", "0"], "argument --web: must be a whole number from 1 to 64, not '0'"),
        (["--workers", "many"], "argument --workers: must be a whole number from 1 to 64, not 'many'"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    status, said = run_command("up", *arguments, data_dir=tmp_path)

    assert status == 2
    assert said.splitlines()[-1] == f"manage.py up: error: {sentence}"


def test_setting_that_does_not_fit(tmp_path: Path) -> None:
    status, said = run_command("up", data_dir=tmp_path, BUILDBOARD_MAX_QUEUE_SIZE="many")

    assert status == 1
    assert said.startswith("buildboard: BUILDBOARD_MAX_QUEUE_SIZE: ")
    assert said.count("\n") == 1
