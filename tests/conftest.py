"""What every test may use: a data dir of its own, a database file, and the doors of the fixtures."""

import os
import tempfile
from pathlib import Path

import pytest
from django.db import connection

# Before Django reads the settings: tests never touch the developer's own data dir.
DATA_DIR = os.environ["BUILDBOARD_DATA_DIR"] = tempfile.mkdtemp(prefix="bb-test-")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A file instead of memory, so that threads and processes meet as they do in the product."""
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(Path(DATA_DIR) / "test.sqlite3")
