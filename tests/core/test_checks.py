"""System checks: each bad combination is named, a good one is quiet, and `check --deploy` is clean."""

import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

from buildboard.core.crypto import make_key

ROOT = Path(__file__).parents[2]


def found() -> set[str]:
    messages = run_checks(tags=["buildboard", "security"], include_deployment_checks=True)
    return {str(message.id) for message in messages if str(message.id).startswith("buildboard.")}


@pytest.fixture(autouse=True)
def good_settings(settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    settings.REDIS_URL = ""
    settings.ENCRYPTION_KEYS = [make_key()]


def test_good_settings_are_quiet() -> None:
    assert found() == set()


def test_every_bad_combination_has_its_id(settings: LazySettings) -> None:
    changes: dict[str, dict[str, object]] = {
        "buildboard.E001": {"STORAGE_URL": "s3://bucket/prefix"},
        "buildboard.E002": {"ENCRYPTION_KEYS": [make_key(), "short"]},
        "buildboard.E003": {"DEBUG": True, "PUBLIC_URL": "https://board.example.org"},
        "buildboard.W002": {"REDIS_URL": "redis://localhost"},
        "buildboard.W003": {"TRUSTED_PROXIES": (ip_network("0.0.0.0/0"),)},
        "buildboard.W004": {"LOCAL_REPOSITORIES": (Path("/srv"), Path("/"))},
        "buildboard.W005": {"ALLOWED_HOSTS": ["*"]},
        "buildboard.I001": {"PUBLIC_URL": "https://board.example.org"},
    }
    seen = {}

    for name, values in changes.items():
        before = {key: getattr(settings, key) for key in values}
        for key, value in values.items():
            setattr(settings, key, value)
        seen[name] = found() - ({"buildboard.I001"} if name == "buildboard.E003" else set())
        for key, value in before.items():
            setattr(settings, key, value)

    assert seen == {name: {name} for name in changes}


@pytest.mark.parametrize("name", ["secret_key", "encryption_keys"])
def test_postgresql_with_a_key_of_this_machine_alone_is_a_warning(
    name: str, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    assert found() == set()
    value = settings.SECRET_KEY if name == "secret_key" else settings.ENCRYPTION_KEYS[0]

    (tmp_path / name).write_text(value + "\n")

    assert found() == {"buildboard.W001"}


def test_no_encryption_key_at_all_is_an_error(settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = []

    assert found() == {"buildboard.E002"}


@pytest.mark.slow
def test_check_deploy_is_clean_with_an_https_address(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "BUILDBOARD_DATA_DIR": str(tmp_path / "data"),
        "BUILDBOARD_PUBLIC_URL": "https://board.example.org",
    }
    environment.pop("DATABASE_URL", None)

    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (checked.returncode, checked.stdout) == (0, checked.stdout), checked.stderr
    assert "WARNINGS" not in checked.stderr
