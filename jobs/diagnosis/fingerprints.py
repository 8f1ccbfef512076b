"""Gives failures that say the same the same fingerprint, whatever they built, where, and in which folder. Pure."""

import hashlib
import re
from collections.abc import Collection

from jobs.logs.findings import Kind, find
from jobs.logs.plain import plain_lines
from jobs.states import ErrorCategory

_CHARACTERS = 300  # of one line: what is behind tells builds apart, not faults
# What a machine says of itself, whatever is built on it; not all of it has a word that builds use of errors.
_OF_MACHINES = re.compile(
    r": not found\Z|command not found|[Pp]ermission denied|[Cc]annot execute|Exec format error|No space left on device"
    r"|Read-only file system|Input/output error|Disk quota exceeded|Too many open files|Illegal instruction|Bus error"
    r"|[Cc]annot allocate memory|[Oo]ut of memory|error while loading shared libraries|Could not resolve host"
)
_PATH = re.compile(r"\S*/")
_HEX = re.compile(r"\b[0-9a-f]{7,}\b")
_NUMBER = re.compile(r"\d+")
_BLANKS = re.compile(r"\s+")


def fingerprint_of(
    category: ErrorCategory, *, exit_code: int | None, message: str, output: str, names: Collection[str] = ()
) -> str:
    """32 characters; empty for a command that failed without a word of why: such failures are not alike.

    `output` is the end of the log, `names` are words that differ though the failure is the same: of the server, of
    the repository.
    """
    line = _normal(telling_line(output), names)
    own = category == ErrorCategory.EXIT_CODE  # the message says the exit code alone then
    if own and not line:
        return ""
    parts = (category, exit_code, "" if own else _normal(message, names), line)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def telling_line(output: str) -> str:
    """The first line in which the machine itself complains, else the first of an error; empty: there is none."""
    block = output.encode(errors="replace")
    texts = plain_lines(block, lower=False).decode(errors="replace").split("\n")
    found = [text for text in texts if _OF_MACHINES.search(text.rstrip())]
    if not found:
        marks = (one.line for findings in find(block) for one in findings if one.kind is Kind.ERROR)
        found = [texts[line] for line in marks]
    own = (text.strip() for text in found)
    return next((text[:_CHARACTERS] for text in own if not text.startswith("--- ")), "")


def _normal(text: str, names: Collection[str]) -> str:
    for name in sorted(filter(None, names), key=len, reverse=True):
        if name in text:  # as a word of its own: `c` is in many
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "", text)
    text = _PATH.sub("", text[:_CHARACTERS].lower())
    return _BLANKS.sub(" ", _NUMBER.sub("0", _HEX.sub("0", text))).strip()
