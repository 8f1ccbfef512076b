"""The rules of the house that can be counted: sizes, what every module says, and exemptions with their reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("buildboard", "jobs", "servers")
MOST_LINES = {"product": 400, "tests": 500, "templates": 150}
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_A_TASK = 12
_EXEMPTION = re.compile(r"# (?:noqa|type: ignore)\b.*")
_WITH_REASON = re.compile(r"# (?:noqa: [A-Z0-9]+(?:, [A-Z0-9]+)*|type: ignore\[[a-z, -]+\])  # \S.*")
_DRAWERS = ("utils.py", "helpers.py", "common.py", "signals.py")


def files(*folders: str, suffix: str = ".py") -> Iterator[tuple[str, str]]:
    """Paths and texts, migrations left out."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text()


@pytest.mark.parametrize(
    ("kind", "folders", "suffix"),
    [
        ("product", PRODUCT, ".py"),
        ("product", PRODUCT, ".sh"),
        ("tests", ("tests",), ".py"),
        ("templates", ("templates",), ".html"),
    ],
)
def test_files_are_short(kind: str, folders: tuple[str, ...], suffix: str) -> None:
    found = list(files(*folders, suffix=suffix))

    assert found
    assert [path for path, text in found if text.count("\n") > MOST_LINES[kind]] == []


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_functions_are_short() -> None:
    long = {
        f"{path}: {function.name}"
        for path, text in files(*PRODUCT)
        for function in functions(text)
        if lines_of(function) > MOST_LINES_OF_A_FUNCTION
    }

    assert long == set()


def test_tasks_are_shorter_still() -> None:
    found = [path for path, _ in files(*PRODUCT) if path.endswith("/tasks.py")]

    assert found == ["buildboard/core/tasks.py", "jobs/tasks.py"]
    for path in found:
        tasks = functions((ROOT / path).read_text())
        assert [task.name for task in tasks if lines_of(task) > MOST_LINES_OF_A_TASK] == []


def test_every_module_says_what_it_owns() -> None:
    silent = [
        path
        for path, text in files(*PRODUCT, "tests", "bench")
        if text.strip() and not ast.get_docstring(ast.parse(text))
    ]

    assert silent == []


def test_every_exemption_has_its_code_and_a_reason() -> None:
    bare = [
        f"{path}: {exemption}"
        for path, text in files(*PRODUCT, "tests", "bench")
        for exemption in _EXEMPTION.findall(text)
        if path != "tests/test_house.py" and not _WITH_REASON.fullmatch(exemption)
    ]

    assert bare == []


def test_no_module_is_a_drawer() -> None:
    assert [path for path, _ in files(*PRODUCT, "tests") if path.endswith(_DRAWERS)] == []
