"""Which files of a work tree a submission's patterns name, within the limits: pure functions of names and sizes.

The language of the patterns: `*`, `?` and `[...]` within one folder; `**` for any number of folders; a pattern that
ends in `/`, or in a name that is a folder's, stands for all that lies in it. Case counts. What git keeps in `.git` is
never meant. It is not in charge of reading or keeping files (artifacts.py).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from itertools import groupby

MOST_FILES = 1000
MOST_PATH_CHARACTERS = 1024
MOST_LEFT_OUT = 100  # sentences on it
ANY_DEPTH = 100
# Comparisons of a part of a path with a part of a pattern, of one attempt: some seconds of the runner.
MOST_COMPARISONS = 5_000_000
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Selection:
    """Which of the files found are kept, and in a sentence each what was left out."""

    sizes: dict[str, int]
    """By path, in order."""
    left_out: list[str]


def select_files(files: Iterable[tuple[str, int]], *, patterns: Sequence[str], limit_bytes: int) -> Selection:
    """The files (path, size) that a pattern names, in order, within the limits of number, name and bytes.

    However patterns and names were chosen, it ends soon: what could not be compared any more is left out.
    """
    globs = [Glob(pattern) for pattern in patterns]
    sizes: dict[str, int] = {}
    left_out: list[str] = []
    total = 0
    for path, size in sorted(files):
        if path == ".git" or path.startswith(".git/"):
            continue
        if sum(glob.comparisons for glob in globs) > MOST_COMPARISONS:
            left_out.append(f"{path[:80]} and what follows: the patterns are too many for so many files")
            return Selection(sizes, left_out)
        # Each is asked, so that it knows whether it found something.
        if sum(glob.matches(path) for glob in globs) == 0:
            continue
        if len(path) > MOST_PATH_CHARACTERS:
            left_out.append(f"{path[:80]}…: its name is longer than {MOST_PATH_CHARACTERS} characters")
        elif len(sizes) >= MOST_FILES:
            left_out.append(f"{path}: a job keeps at most {MOST_FILES} files")
        elif total + size > limit_bytes:
            left_out.append(
                f"{path}: the job's limit of {limit_bytes} bytes is reached (BUILDBOARD_MAX_ARTIFACT_BYTES)"
            )
        else:
            sizes[path] = size
            total += size
    for pattern, glob in zip(patterns, globs, strict=True):
        if not glob.found:
            left_out.append(f"{pattern}: no file has such a name")
    return Selection(sizes, left_out)


def shorten(left_out: Sequence[str]) -> list[str]:
    """The first of these sentences, and how many more there are."""
    more = len(left_out) - MOST_LEFT_OUT
    return [*left_out[:MOST_LEFT_OUT], *([f"and {more} more"] if more > 0 else [])]


def starts_of(patterns: Sequence[str]) -> list[tuple[str, int]]:
    """Where files of these patterns can lie: paths (empty: the work tree itself), and how much deeper at most.

    No path is below another one that has no bound, so that a look at all of them finds few files twice.
    """
    deepest: dict[str, int] = {}
    for pattern in patterns:
        path, depth = Glob(pattern).start
        deepest[path] = max(depth, deepest.get(path, 0))
    whole = {path for path, depth in deepest.items() if depth == ANY_DEPTH}
    return [
        (path, depth)
        for path, depth in sorted(deepest.items())
        if not any(path != one and (not one or path.startswith(f"{one}/")) for one in whole)
    ]


class Glob:
    """One pattern."""

    def __init__(self, pattern: str) -> None:
        text = pattern + "**" if pattern.endswith("/") else pattern
        parts = [part for part in text.split("/") if part not in {"", "."}] or ["**"]
        # Of `**` one is as good as several in a row.
        self._words = [word for word, same in groupby(parts) for word in ([word] if word == "**" else same)]
        self._names_folders = not _MAGIC.search(self._words[-1])
        self.comparisons = 0
        """How many parts were compared so far."""
        self.found = False
        """Whether some path fitted."""

    @cached_property
    def _parts(self) -> list[re.Pattern[str] | None]:
        """What fits each part; None for `**`."""
        return [None if word == "**" else re.compile(translate(word)) for word in self._words]

    @property
    def start(self) -> tuple[str, int]:
        """The folder or file that the pattern's plain words lead to, and how much deeper it goes from there."""
        plain = next((at for at, word in enumerate(self._words) if _MAGIC.search(word)), len(self._words))
        rest = self._words[plain:]
        bounded = "**" not in rest and not self._names_folders
        return "/".join(self._words[:plain]), len(rest) if bounded else ANY_DEPTH

    def matches(self, path: str) -> bool:
        """Whether it names this path. Linear in the parts of both; a part's expression does not backtrack."""
        reached = {0}  # how many parts of the pattern may be used up by the parts of the path so far
        fits = False
        for part in path.split("/"):
            reached = self._after(part, reached)
            fits = len(self._words) in reached
            if not reached or (fits and self._names_folders):
                break
        self.found = self.found or fits
        return fits

    def _after(self, part: str, reached: set[int]) -> set[int]:
        wanted, last = self._parts, len(self._words) - 1
        following = set()
        for position in _skip_stars(reached, wanted):
            if position > last:
                continue
            self.comparisons += 1
            expression = wanted[position]
            if expression is None:
                following |= {position, position + 1} if position == last else {position}
            elif expression.match(part):
                following.add(position + 1)
        return following


def matches(path: str, pattern: str) -> bool:
    """Whether a glob names this path."""
    return Glob(pattern).matches(path)


def _skip_stars(reached: set[int], wanted: Sequence[object]) -> set[int]:
    """`**` may stand for no part at all, but not at the end: `out/**` is what lies in `out`."""
    last = len(wanted) - 1
    return reached | {position + 1 for position in reached if position < last and wanted[position] is None}
