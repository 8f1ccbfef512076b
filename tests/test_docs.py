"""What README and docs/ say exists: settings, commands, targets, files, links, paths and keys of the API, numbers."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands

from buildboard import env
from jobs.execution import probing
from jobs.execution.reach import LOST_MARGIN_SECONDS
from jobs.providers.base import Limits
from jobs.queue.conditions import DISK_FLOOR_MIB
from jobs.selection import MOST_FILES, MOST_PATH_CHARACTERS
from servers import runs
from servers.connections import MOST_JUMPS
from servers.models import BuildServer
from tests.api import openapi

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SERVERS = (ROOT / "docs/servers.md").read_text()
PAGES = {path: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
EVERYTHING = "\n".join(PAGES.values())
# What the pages write for it.
ABBREVIATED = {"$SERVERS": "/api/v1/infrastructure/build-servers"}
# Set by the supervisor for its children, by nobody else.
INTERNAL = {"BUILDBOARD_PROCESS", "BUILDBOARD_WORKERS"}
OF_TESTS = {"BUILDBOARD_FAULTS", "BUILDBOARD_FAULTS_SEED"}
OURS = ("buildboard", "buildboard.core", "servers", "jobs")


SETTINGS = README.split("## Settings")[1].split("\n## ")[0]


def settings_table() -> dict[str, tuple[str, str]]:
    """Default and meaning of each variable, as the table says them."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", SETTINGS, re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def settings_read() -> dict[str, tuple[str, list[Any], dict[str, Any]]]:
    """How settings.py reads each variable: the function of env.py, what it is given after the name, and its options."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "buildboard/settings.py").read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        plain = [ast.unparse(one) for one in node.args]
        named = [at for at, text in enumerate(plain) if re.fullmatch(r"'[A-Z]+_[A-Z_]+'", text)]
        if ast.unparse(node.func.value) == "env" and named:
            given = {word.arg or "": eval(ast.unparse(word.value)) for word in node.keywords}  # noqa: S307  # numbers of settings.py
            found[plain[named[0]].strip("'")] = node.func.attr, plain[named[0] + 1 :], given
    return found


def our_commands() -> set[str]:
    return {name for name, app in get_commands().items() if app in OURS}


def test_settings_and_readme_name_the_same_variables() -> None:
    source = (ROOT / "buildboard/settings.py").read_text()
    read = set(re.findall(r'"((?:BUILDBOARD_|DATABASE_URL|REDIS_URL)[A-Z_]*)"', source))

    assert settings_table().keys() == read - INTERNAL
    assert set(re.findall(r"\bBUILDBOARD_[A-Z_]+", EVERYTHING)) <= read | OF_TESTS


def test_defaults_of_settings_are_those_of_the_code() -> None:
    words = {"True": "`true`", "False": "`false`", "Path('var')": "`./var`"}
    wanted = {}
    for name, (function, given, _) in settings_read().items():
        if function in {"read_positive", "read_seconds", "read_weight"}:
            wanted[name] = f"`{eval(given[0])}`"  # noqa: S307  # a number of settings.py, such as 1 << 30
        elif function in {"read_networks", "read_folders"}:
            wanted[name] = "none"
        elif given and given[0] in words:
            wanted[name] = words[given[0]]
    said = {name: default for name, (default, _) in settings_table().items()}

    assert len(wanted) > 15
    assert {name: said[name] for name in wanted.keys() - INTERNAL} == {
        name: default for name, default in wanted.items() if name not in INTERNAL
    }


def is_taken(function: str, value: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("BUILDBOARD_TRIED", value)
    try:
        getattr(env, function)("BUILDBOARD_TRIED", 1, **options)
    except ImproperlyConfigured:
        return False
    return True


def test_bounds_of_settings_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers from 1 but where the row speaks of 0; seconds to ten years; weights as their rows say."""
    (most_seconds,) = re.findall(r"seconds are ten years \(`(\d+)`\) at most", " ".join(SETTINGS.split()))
    (least_weight, most_weight) = re.findall(r"how much it counts, from (\d+) to (\d+)", SETTINGS)[0]
    table = settings_table()

    for name, (function, _, options) in settings_read().items():
        if name in INTERNAL or function not in {"read_positive", "read_seconds", "read_weight"}:
            continue
        whole = 0 if "; 0: " in table[name][1] else 1
        ends = {
            "read_positive": (whole, None),
            "read_seconds": (whole, int(most_seconds)),
            "read_weight": (int(least_weight), int(most_weight)),
        }
        least, most = ends[function]
        tried = [str(least), str(least - 1), *([str(most), str(most + 1)] if most is not None else [])]
        taken = [is_taken(function, value, options, monkeypatch) for value in tried]
        assert taken == ([True, False] * 2)[: len(tried)], (name, tried)


def test_every_command_is_in_the_readme() -> None:
    assert {name for name in our_commands() if f"manage.py {name}" not in README} == set()


def test_every_command_that_is_named_exists() -> None:
    assert set(re.findall(r"manage\.py ([a-z_]+)", EVERYTHING)) <= our_commands()


def test_every_target_of_the_makefile_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([a-z-]+)", EVERYTHING)) | set(
        re.findall(r"^    make ([a-z-]+)", EVERYTHING, re.MULTILINE)
    )

    assert {target for target in named if f"\n{target}:" not in makefile} == set()


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:jobs|servers|buildboard|tests|docs)/[\w/.-]+\.\w+)`", EVERYTHING))
    folders = set(re.findall(r"^\| `((?:jobs|servers|buildboard)/[\w/.-]*)`", README, re.MULTILINE))

    assert {path for path in named | folders if not (ROOT / path).exists()} == set()


# ---- links ------------------------------------------------------------------------------------------------


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_a_file_and_a_title(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[path]):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text()), link


def test_every_page_can_be_found_from_the_readme() -> None:
    assert {path.name for path in PAGES if path.name != "README.md" and path.name not in README} == set()


# ---- the API ----------------------------------------------------------------------------------------------


def _template(address: str) -> str:
    """`.../build-servers/ID/checks?limit=1` as the document of the API writes it, all parameters alike."""
    for short, long in ABBREVIATED.items():
        address = address.replace(short, long)
    path = re.sub(r"^https?://[^/]+", "", address).partition("?")[0].rstrip("/")
    return re.sub(r"/[A-Z]+(?=/|$)", "/{}", path)


def _operations() -> dict[str, dict[str, Any]]:
    """Verbs and operations by path, all parameters alike."""
    return {re.sub(r"\{\w+\}", "{}", path): verbs for path, verbs in openapi()["paths"].items()}


def test_every_address_of_the_api_that_is_named_exists() -> None:
    # Of the page itself and of the document, which name themselves in neither.
    known = {*_operations(), "/api/docs", "/api/openapi.json"}
    named = re.findall(r"(?:(?<![a-z])/api/|\$SERVERS)[\w/.-]*", EVERYTHING)

    assert len(named) > 20
    assert {address for address in named if _template(address.rstrip(".")) not in known} == set()


def _curls() -> Iterator[list[str]]:
    """The words of each curl command, which may take several lines."""
    for text in PAGES.values():
        command = ""
        for line in text.split("\n"):
            if command or line.strip().startswith("curl "):
                command += line.strip().removesuffix("\\") + " "
                if not line.endswith("\\") and command.count("'") % 2 == 0:
                    yield shlex.split(command)
                    command = ""


def _calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Verb, address and body of every call that a page writes out, in a command or in a sentence."""
    for words in _curls():
        address = next(word for word in words if word.startswith(("http://", "$SERVERS")))
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else {}
        yield words[words.index("-X") + 1] if "-X" in words else "GET", address, body
    for verb, address, body in re.findall(r"`([A-Z]+) ([^`]+)`, `(\{[^`]+\})`", EVERYTHING):
        yield verb, address, json.loads(body)


def _keys(schema: dict[str, Any]) -> set[str]:
    name = schema["$ref"].rpartition("/")[2]
    return set(openapi()["components"]["schemas"][name]["properties"])


def test_calls_that_are_written_out_fit_the_api() -> None:
    operations = _operations()
    calls = list(_calls())

    assert len(calls) > 10
    for verb, address, body in calls:
        operation = operations[_template(address)][verb.lower()]
        if body:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert body.keys() <= _keys(schema), (verb, address)


def test_fields_of_a_server_are_all_explained() -> None:
    table = SERVERS.split("## Settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    schemas = openapi()["components"]["schemas"]

    named = {name for first, _ in rows for name in re.findall(r"`(\w+)`", first)}
    assert named == {*schemas["NewServer"]["properties"], *schemas["ServerChange"]["properties"]}
    defaults = {name: default for first, default in rows for name in re.findall(r"`(\w+)`", first)}
    server = BuildServer()
    assert defaults["max_concurrent_builds"] == str(server.max_concurrent_builds)
    assert defaults["utilization_limits"] == f"{server.cpu_limit_percent} each"
    assert f" {server.ssh_port}," in defaults["ssh_port"]


# ---- numbers ----------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_code() -> None:
    words = {4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten"}
    text = " ".join(SERVERS.split())
    said = [
        f"where less than {DISK_FLOOR_MIB} MiB are free",
        f"removed after {probing.GARBAGE_DAYS} days",
        f"not used for {runs.MIRROR_DAYS} days",
        f"larger than {probing.MIRROR_KIB >> 20} GiB together or less than {probing.FLOOR_KIB >> 20} GiB",
        f"Every {words[round(probing.CLEAR_SECONDS / 3600)]} hours",
        f"{words[MOST_JUMPS]} at most",
        f"`timeout_seconds` and {words[LOST_MARGIN_SECONDS // 60]} minutes more",
        f"after {words[Limits.grace_seconds]} seconds SIGKILL",
        f"{MOST_FILES:,} a job, whose names are at most {MOST_PATH_CHARACTERS:,} characters",
    ]

    assert [sentence for sentence in said if sentence not in text] == []
