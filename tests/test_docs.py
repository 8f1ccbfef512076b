"""The README's tables and the code say the same: settings, commands, targets."""

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Set by the supervisor for its children, by nobody else.
INTERNAL = {"BUILDBOARD_PROCESS", "BUILDBOARD_WORKERS"}
OURS = ("buildboard", "buildboard.core", "servers", "jobs")


def settings_table() -> set[str]:
    table = README.split("## Settings")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE))


def test_settings_and_readme_name_the_same_variables() -> None:
    source = (ROOT / "buildboard/settings.py").read_text()
    read = set(re.findall(r'"((?:BUILDBOARD_|DATABASE_URL|REDIS_URL)[A-Z_]*)"', source))

    assert settings_table() == read - INTERNAL


def test_every_command_is_in_the_readme() -> None:
    commands = {name for name, app in get_commands().items() if app in OURS}

    assert {name for name in commands if f"manage.py {name}" not in README} == set()


def test_every_target_of_the_makefile_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([a-z-]+)", README)) | set(
        re.findall(r"^    make ([a-z-]+)", README, re.MULTILINE)
    )

    assert {target for target in named if f"\n{target}:" not in makefile} == set()


def test_files_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`((?:jobs|servers|buildboard|tests|docs)/[\w/.-]+)`", README))

    assert {path for path in named if not (ROOT / path).exists()} == set()
