"""A wrong value in the environment stops the start with one sentence that names its variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


def check(data_dir: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py check` of an empty data dir, with these variables alone."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("BUILDBOARD_", "DATABASE_"))
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check", "--fail-level", "ERROR"],
        env={**clean, "BUILDBOARD_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://user@host/name"),
        ("DATABASE_URL", "not a url"),
        ("REDIS_URL", "http://host"),
        ("BUILDBOARD_STORAGE_URL", "ftp://host/folder"),
        ("BUILDBOARD_PUBLIC_URL", "board.example.org"),
        ("BUILDBOARD_TRUSTED_PROXIES", "10.0.0.0/8,nowhere"),
        ("BUILDBOARD_WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("BUILDBOARD_PUBLIC_READ", "perhaps"),
        ("BUILDBOARD_DEBUG", "2"),
        ("BUILDBOARD_MAX_QUEUE_SIZE", "0"),
        ("BUILDBOARD_AGEING_SECONDS", "315360001"),
        ("BUILDBOARD_IMPOSSIBLE_SECONDS", "315360001"),
        ("BUILDBOARD_QUARANTINE_SECONDS", "-1"),
        ("BUILDBOARD_QUARANTINE_SECONDS", "1" + 400 * "0"),
        ("BUILDBOARD_WEIGHT_WAITING", "nan"),
        ("BUILDBOARD_WEIGHT_SPEED", "100.1"),
        ("BUILDBOARD_MAX_LOG_BYTES", "1 GiB"),
        ("BUILDBOARD_MAX_ARTIFACT_BYTES", "-1"),
        ("BUILDBOARD_LOCAL_REPOSITORIES", "src"),
        ("BUILDBOARD_DATA_DIR", "/dev/null/data"),
        ("BUILDBOARD_ENCRYPTION_KEYS", "short"),
    ],
)
def test_wrong_value_stops_the_start_and_names_its_variable(tmp_path: Path, name: str, value: str) -> None:
    done = check(tmp_path / "data", **{name: value})

    assert done.returncode != 0
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_empty_values_count_as_not_set_and_secrets_are_private(tmp_path: Path) -> None:
    done = check(tmp_path / "data", DATABASE_URL="", BUILDBOARD_DEBUG=" ", BUILDBOARD_MAX_QUEUE_SIZE="")

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert modes == {"secret_key": 0o600, "encryption_keys": 0o600}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    check(tmp_path / "data")
    first = (tmp_path / "data" / "secret_key").read_text()
    check(tmp_path / "data")

    assert (tmp_path / "data" / "secret_key").read_text() == first


def test_a_database_file_that_is_gone_is_not_made_again_empty(tmp_path: Path) -> None:
    data_dir = tmp_path / "a ?#% b"
    connect = (
        "import django; django.setup()\nfrom django.db import connection\nconnection.ensure_connection()\n"
    )
    lose = "connection.close()\nopen_file.unlink()\nconnection.ensure_connection()"
    file = data_dir / "buildboard.sqlite3"
    environment = {
        **os.environ,
        "BUILDBOARD_DATA_DIR": str(data_dir),
        "DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "buildboard.settings",
        "PYTHONPATH": str(ROOT),
    }

    subprocess.run([sys.executable, "-c", connect], env=environment, check=True)
    program = f"from pathlib import Path\nopen_file = Path({str(file)!r})\n{connect}{lose}"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert done.stderr.splitlines()[-1] == "django.db.utils.OperationalError: unable to open database file"
    assert not file.exists()
