"""Which way imports run: `buildboard` -> `jobs` -> `servers` -> `buildboard.core`, and the ranks inside `jobs`."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RANKS: list[set[str]] = [
    {"states", "errors"},
    {"models"},
    {"needs", "schemas", "selection", "validation"},
    {"logs", "artifacts", "orchestrators", "repositories", "secrets"},
    {"submission"},
    {"outcomes", "transitions"},
    {"lifecycle"},
    {"queue", "diagnosis"},
    {"retry"},
    {"providers"},
    {"planning"},
    {"execution"},
    {"notify"},
    {
        "tasks",
        "api",
        "views",
        "forms",
        "consumers",
        "admin",
        "checks",
        "apps",
        "management",
        "routing",
        "templatetags",
    },
    {"urls"},
]
# Doors stand beside each other; one uses another only where it is a part of it.
WITHIN_DOORS = {("routing", "consumers"), ("templatetags", "views"), ("views", "forms")}
FORBIDDEN_OF_PROJECT = {"buildboard.settings", "buildboard.urls", "buildboard.asgi"}


def modules(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)


def imports_of(path: Path, *, at_the_top: bool = False) -> set[str]:
    """All names that it imports, those within functions too unless only the top is asked for."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rank_of(concern: str) -> int:
    return next(rank for rank, concerns in enumerate(RANKS) if concern in concerns)


def starts(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == one or name.startswith(f"{one}.") for one in packages)}


def test_core_imports_neither_servers_nor_jobs() -> None:
    wrong = {
        str(path.relative_to(ROOT)): starts(imports_of(path), "servers", "jobs")
        for path in modules("buildboard/core")
    }

    assert {path: names for path, names in wrong.items() if names} == {}


def test_servers_never_import_jobs() -> None:
    wrong = {str(path.relative_to(ROOT)): starts(imports_of(path), "jobs") for path in modules("servers")}

    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("package", ["jobs", "servers", "buildboard/core"])
def test_nobody_imports_the_project(package: str) -> None:
    wrong = {}
    for path in modules(package):
        names = imports_of(path)
        project = {name for name in starts(names, "buildboard") if not starts({name}, "buildboard.core")}
        wrong[str(path.relative_to(ROOT))] = project - {"buildboard"}

    assert {path: names for path, names in wrong.items() if names} == {}


def test_jobs_import_only_from_ranks_before_their_own() -> None:
    wrong = []
    for path in modules("jobs"):
        concern = path.relative_to(ROOT / "jobs").parts[0].removesuffix(".py")
        if concern == "__init__":
            continue
        for name in sorted(starts(imports_of(path), "jobs")):
            other = name.split(".")[1] if "." in name else ""
            if not other or other == concern or (concern, other) in WITHIN_DOORS:
                continue
            if rank_of(other) >= rank_of(concern):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")

    assert wrong == []


@pytest.mark.parametrize("package", ["jobs", "servers", "buildboard"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules(package)
    }
    left = {name: imports_of(path, at_the_top=True) & paths.keys() - {name} for name, path in paths.items()}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}

    assert sorted(left) == []


# Each process that starts would take half as long again.
@pytest.mark.parametrize(
    ("loaded", "not_needed"),
    [
        (
            "buildboard.core.tasks, buildboard.urls, jobs.tasks",
            {"paramiko", "psycopg", "redis", "servers.connections"},
        ),
        (
            "buildboard.launch, buildboard.core.tasks, jobs.tasks, jobs.execution.runner",
            {"ninja", "pydantic"},
        ),
    ],
    ids=["web and short tasks", "supervisor and runner"],
)
def test_no_process_loads_what_only_others_need(loaded: str, not_needed: set[str], tmp_path: Path) -> None:
    program = (
        "import sys, django; django.setup()\n"
        f"import {loaded}\n"
        f"print(sorted({not_needed} & sys.modules.keys()))"
    )
    environment = {"BUILDBOARD_DATA_DIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    settings = {"DJANGO_SETTINGS_MODULE": "buildboard.settings"}

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment, **settings},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")
