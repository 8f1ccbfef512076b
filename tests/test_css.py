"""The committed stylesheet is what the templates give, byte for byte. Users need no Node, so it is committed."""

import subprocess

import pytest

from tests.boards import ROOT
from tests.requirements import leave_out, require

pytestmark = pytest.mark.slow


def test_the_stylesheet_is_what_the_templates_give() -> None:
    require("npm")
    fetched = subprocess.run(
        ["make", "node_modules/.css-tools"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        leave_out(f"needs the stylesheet's tools, which npm could not fetch: {fetched.stderr[-300:]}")

    checked = subprocess.run(["make", "css-check"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
