"""Knows which lines of a build's output tell of an error or a warning, and which begin or end a group.

Words are searched for in the bytes by an automaton, and only lines that have one are looked at closely, by
patterns that take linear time. Pure. Where they stand in a log is outline.py's matter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from jobs.logs.plain import SHOWN_BYTES, plain_lines

TITLE_CHARACTERS = 200
_LOOKED_AT_CHARACTERS = 2000

_WORDS = (
    *(b"error", b"Error", b"ERR", b"FAIL", b"fatal", b"***", b"E: ", b"panic: ", b"Traceback", b".go:"),
    *(b"undefined reference", b"multiple definition", b"cannot find", b"symbol(s) not found"),
    *(b"command not found", b"Segmentation fault", b"Exception in thread"),
    *(b"arning", b"WARN", b"npm warn", b"[buildboard]"),
    *(b"--- ", b"+++ ", b"::group::", b"::endgroup::"),
)
_AUTOMATON = BytesAhoCorasick(list(_WORDS), matchkind=MatchKind.LeftmostFirst)

_ERROR_AT_START = re.compile(
    r"(?:\[?ERROR\]?[\s:]|E: |error Command failed|fatal: |::error[ :]"  # Maven, pip, apt, yarn, git
    r"|FAILED[: ]|FAIL\s|--- FAIL: |FAILURE: |BUILD FAILED|test result: FAILED"  # ninja, pytest, Go, Gradle, Cargo
    r"|CMake Error|panic: |Traceback \(most recent call last\):|Exception in thread |Segmentation fault"
    r"|[^\s:]{1,250}\.go:\d+:\d+: \S"
    r"|--- failed: |--- finished: exit code (?!0\Z))"
)
_ERROR_WITHIN = re.compile(
    r"(?:\A|[\s:(])(?:error|Error|ERROR)(?:\[E\d{4}\]| [A-Z]{1,6}\d{2,5})?:(?:\s|\Z)"
    r"|: undefined reference to |: multiple definition of |ld: cannot find |symbol\(s\) not found"
    r"|: command not found|: Segmentation fault"
)
_WARNING_AT_START = re.compile(
    r"\[?WARN(?:ING)?\]?[\s:]|npm (?:WARN|warn)\s|::warning[ :]|CMake (?:Deprecation )?Warning"
    r"|\[buildboard\] \d+ bytes were left out"
)
_WARNING_WITHIN = re.compile(
    r"(?:\A|[\s:(])(?:warning|WARNING)(?:\[\w{1,20}\]| [A-Z]{1,6}\d{2,5})?:(?:\s|\Z)|Warning:(?:\s|\Z)"
)
# What is said again for each level, or goes on for several lines: the first one is enough.
_FOLLOWING = re.compile(
    r"(?P<make>\S{0,64}make(?:\.exe)?(?:\[\d{1,4}\])?: \*\*\* (?!Waiting ))|(?P<npm>npm (?:ERR!|error)\s)"
)
_GROUP = re.compile(r"::group::(?P<title>.*)", re.DOTALL)
_STEP = re.compile(r"--- (?P<title>\S.*)", re.DOTALL)
# What the board's own script says beside its steps: it belongs to the step that it was said in.
_REMARK = re.compile(
    r"--- (?:PASS|SKIP): |--- (?:commit: |waiting: process |no lock: |nothing to fetch: |cross build on "
    r"|the (?:ids of|cache of|id alone) |this server's shell |no command in )"
)
_OVER = re.compile(r"--- (?:finished: exit code \d+\Z|failed: )")


class Kind(Enum):
    """What a line is. A step ends the one before it, and the groups in it; DIFF tells that `--- ` was none."""

    ERROR = "error"
    WARNING = "warning"
    STEP = "step"
    GROUP = "group"
    GROUP_END = "endgroup"
    OVER = "over"
    DIFF = "diff"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about line `line` of a block. `row`: of lines with the same one, the first says it all."""

    line: int
    kind: Kind
    title: str = ""
    row: str = ""


def find(block: bytes) -> Iterator[list[Finding]]:
    """For each line that has one of the words, what was found in it: mostly nothing."""
    line, counted = 0, 0
    for _, at, _ in _AUTOMATON.find_matches_as_indexes(block):
        if at < counted:
            continue
        line += block.count(b"\n", counted, at)
        begin = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        counted = len(block) if end < 0 else end
        yield list(_judge(line, _text(block[begin : min(counted, begin + SHOWN_BYTES)])))


def _text(line: bytes) -> str:
    return plain_lines(line, lower=False).decode(errors="replace")[:_LOOKED_AT_CHARACTERS].rstrip()


def _judge(line: int, text: str) -> Iterator[Finding]:
    if found := _FOLLOWING.match(text):
        yield Finding(line, Kind.ERROR, row=str(found.lastgroup))
    elif _ERROR_AT_START.match(text) or _ERROR_WITHIN.search(text):
        yield Finding(line, Kind.ERROR)
    elif _WARNING_AT_START.match(text) or _WARNING_WITHIN.search(text):
        yield Finding(line, Kind.WARNING)
    if text.startswith("--- "):
        if _OVER.match(text):
            yield Finding(line, Kind.OVER)
        elif not _REMARK.match(text) and not text.startswith("--- FAIL: "):
            yield Finding(line, Kind.STEP, _title(_STEP.match(text)))
    elif text.startswith("::group::"):
        yield Finding(line, Kind.GROUP, _title(_GROUP.match(text)))
    elif text.startswith("::endgroup::"):
        yield Finding(line, Kind.GROUP_END)
    elif text.startswith("+++ "):
        yield Finding(line, Kind.DIFF)


def _title(found: re.Match[str] | None) -> str:
    title = found["title"].strip() if found else ""
    return title[:TITLE_CHARACTERS] or "Group"
