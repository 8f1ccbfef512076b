"""A SQLite file with all tables, made once for each state of the migrations: a test's board need not make them again.

The first start of a board, which does, is test_up.py's.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = "buildboard.sqlite3"
_PARTS = ("buildboard", "jobs", "servers")
# Not pytest's own matter, but where it keeps what may be thrown away at any time.
_KEPT = ROOT / ".pytest_cache"


def give_tables(data_dir: Path) -> None:
    """Make this data dir, with a database whose tables are up to date and empty; one that is there stays."""
    if data_dir.exists():
        return
    kept = _KEPT / f"migrated-{_state()}.sqlite3"
    if not kept.exists():
        _make(kept)
    data_dir.mkdir(mode=0o700, parents=True)
    shutil.copyfile(kept, data_dir / NAME)


def _state() -> str:
    """What the tables come from: every migration of the board, and the versions of the libraries."""
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes())
    for path in sorted(path for part in _PARTS for path in (ROOT / part).rglob("migrations/*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _make(kept: Path) -> None:
    """Migrate an empty database; several processes may, and each leaves a whole file."""
    kept.parent.mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BUILDBOARD_")}
    with tempfile.TemporaryDirectory(prefix="migrated-", dir=kept.parent) as folder:
        data_dir = Path(folder, "data")
        environment = {
            **inherited,
            "BUILDBOARD_DATA_DIR": str(data_dir),
            "DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "buildboard.settings",
        }
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        (data_dir / NAME).rename(kept)
