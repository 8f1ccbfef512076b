"""The modules of the pages that need no browser, tested where Node is. What needs one is in tests/browser."""

import subprocess
from pathlib import Path

from tests.requirements import require

ROOT = Path(__file__).parent.parent


def test_the_modules_do_what_they_say() -> None:
    require("node")
    tests = sorted(str(path) for path in (ROOT / "tests/js").glob("*.test.mjs"))

    told = subprocess.run(
        ["node", "--test", *tests], capture_output=True, text=True, timeout=120, check=False
    )

    assert (told.returncode, len(tests) > 5) == (0, True), told.stdout
