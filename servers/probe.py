"""Reads what probe.sh said: facts as short printable text, sizes and load as numbers, tools with their targets.

Every value is a server's word: data, never markup, path to open or command. Storing it is measured.py's.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from servers.architectures import canonical_architecture

MAX_FACTS = 300
MAX_VALUE = 200
MAX_LIST = 600  # of the targets that a tool names
FULL = "tools"  # the depth of a probe that asked the tools, too

_KEY = re.compile(r"[A-Za-z0-9_.+-]{1,64}", re.ASCII)
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_LARGEST_COLUMN = 2**31 - 1  # of a PositiveIntegerField
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# Of Linux with a C library: what is built for bare metal, Android or Windows is no program for a server.
_TRIPLE = re.compile(r"([a-z0-9_]+)-(?:[a-z0-9_]+-)?linux-((?:gnu|musl|uclibc)(?!x32)[a-z0-9]*)")
_FURTHER_VERSION = re.compile(r"-\d+(?:\.\d+)*\Z")
_CLANG_NAMES = {"x86": "i686", "x86-64": "x86_64", "arm": "armv7", "systemz": "s390x"}
_STALLED = re.compile(r"some .*\bavg60=(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class ToolSeen:
    """One tool of a server; an empty target is the server's own architecture."""

    name: str
    version: str
    target: str
    path: str


@dataclass(frozen=True)
class Measures:
    """Sizes and load as numbers; None: not measured, or the word was no number."""

    cpu_percent: float | None
    memory_percent: float | None
    storage_percent: float | None
    cores: int | None
    memory_mb: int | None
    storage_gb: int | None
    free_kb: float | None
    free_storage_mib: int | None
    free_inodes: float | None
    clock_error_seconds: float | None
    load_per_core: float | None
    memory_stall_percent: float | None
    disk_stall_percent: float | None


def parse_facts(text: str) -> dict[str, str]:
    """The `key TAB value` lines of a probe, the first of each key; what is not such a line is left out."""
    facts: dict[str, str] = {}
    for line in text.split("\n"):
        key, tab, value = line.partition("\t")
        if tab and _KEY.fullmatch(key) and key not in facts and len(facts) < MAX_FACTS:
            limit = MAX_LIST if key.startswith("targets.") else MAX_VALUE
            facts[key] = _NOT_PRINTABLE.sub(" ", value)[:limit].strip()
    return facts


def is_full(facts: Mapping[str, str]) -> bool:
    """Whether the tools were asked, too."""
    return facts.get("depth") == FULL


def measure(facts: Mapping[str, str], *, now: float) -> Measures:
    """Sizes and load; `now` is the board's clock in seconds since the epoch."""
    cores = _limited_cores(_number(facts.get("cores")), facts.get("cgroup.cpu_max", ""))
    total_kb, available_kb = _number(facts.get("mem.MemTotal_kb")), _number(facts.get("mem.MemAvailable_kb"))
    limit_kb = _cgroup_kb(facts.get("cgroup.memory_max"))
    if limit_kb and total_kb and limit_kb < total_kb:
        total_kb, available_kb = limit_kb, min(available_kb, limit_kb) if available_kb is not None else None
    disk_kb, free_kb = _number(facts.get("disk.total_kb")), _number(facts.get("disk.available_kb"))
    used_kb = _number(facts.get("disk.used_kb"))
    load, clock = _number(facts.get("load", "").split(" ")[0]), _number(facts.get("time"))
    return Measures(
        cpu_percent=_share(load, cores),
        memory_percent=_used(total_kb, available_kb),
        storage_percent=_disk_used(disk_kb, used_kb, free_kb),
        cores=_whole(cores),
        memory_mb=_whole(total_kb, unit=1024),
        storage_gb=_whole(disk_kb, unit=1024 * 1024),
        free_kb=free_kb,
        free_storage_mib=None if free_kb is None else min(int(free_kb / 1024), _LARGEST_COLUMN),
        free_inodes=_number(facts.get("disk.inodes_free")) if _counts_inodes(facts) else None,
        clock_error_seconds=None if clock is None else abs(clock - now),
        load_per_core=None if not cores or load is None else round(load / cores, 2),
        memory_stall_percent=_stalled(facts.get("psi.memory", "")),
        disk_stall_percent=_stalled(facts.get("psi.io", "")),
    )


def find_tools(facts: Mapping[str, str]) -> list[ToolSeen]:
    """Compilers and tools: native ones, cross compilers by their prefix, and the targets that clang and rustup name."""
    found = {(tool.name, tool.target, tool.path): tool for tool in _each_tool(facts)}
    return [*found.values(), *_further_targets(facts, found.values())]


def troubles(facts: Mapping[str, str]) -> list[str]:
    """What a server lacks though it answers, each a sentence that says what to do. Figures are thresholds.py's."""
    if facts.get("os") == "":  # said, but without uname, tr or cut: nothing else is known then
        return ["It finds no commands, not even uname: name /usr/bin and /bin in PATH in its environment."]
    found = []
    if facts.get("depth") and "util.git" not in facts:
        found.append("It has no git: install it, or add its folder to PATH in the server's environment.")
    if facts.get("os") == "Linux" and not facts.get("boot_id"):
        found.append("It has no readable /proc: builds cannot be watched without it.")
    return found


def version_of(line: str) -> str:
    """The last word that looks like a version: `gcc (Debian 12.2.0-14) 12.2.0`, `openjdk version "17.0.15"`."""
    words = [word.strip('"(),v').removeprefix("go") for word in line.split()]
    return next((word for word in reversed(words) if _VERSION.fullmatch(word)), "")[:64]


def architecture_of(facts: Mapping[str, str]) -> str:
    """The server's own architecture in its one spelling; empty when it named none."""
    return _plain(facts.get("arch", ""))


# ---- tools ------------------------------------------------------------------------------------------------


def _each_tool(facts: Mapping[str, str]) -> Iterator[ToolSeen]:
    own = architecture_of(facts)
    for key, value in facts.items():
        kind, _, name = key.partition(".")
        path, _, line = value.partition("|")
        name, target = _FURTHER_VERSION.sub("", name), ""
        if kind == "cross":
            triple, _, name = name.rpartition("-")
            target = target_of(triple)
            if target in {"", own}:  # its own compiler under its long name
                continue
        if kind in {"tool", "cross"} and name and path.startswith("/"):
            yield ToolSeen(name[:64], version_of(line), target, path[:255])


def _further_targets(facts: Mapping[str, str], found: Collection[ToolSeen]) -> Iterator[ToolSeen]:
    """What clang and rustc name as their targets, where a GNU cross compiler brings the linker and the C library."""
    linkable = {tool.target for tool in found if tool.name == "gcc" and tool.target}
    for name in ("clang", "rustc"):
        tool = next((one for one in found if one.name == name and not one.target), None)
        words = facts.get(f"targets.{name}", "").split()
        targets = {_CLANG_NAMES.get(word) or target_of(word) or _plain(word) for word in words}
        if tool is not None:
            yield from (replace(tool, target=target) for target in sorted(targets & linkable))


def target_of(triple: str) -> str:
    """The architecture of a triple such as `arm-linux-gnueabihf`; empty when it is none for Linux."""
    match = _TRIPLE.fullmatch(triple)
    if match is None:
        return ""
    if match[1] == "arm":  # the last word says how it passes floats, which is what armv7 and armel mean
        return "armv7" if match[2].endswith("hf") else "armel"
    return _plain(match[1])


def _plain(word: str) -> str:
    try:
        return canonical_architecture(word)
    except ValueError:
        return ""


# ---- numbers ----------------------------------------------------------------------------------------------


def _number(text: str | None) -> float | None:
    """A finite number of at least 0; `nan`, `inf` and less are words that `float` would take too."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < math.inf else None


def _whole(number: float | None, *, unit: int = 1) -> int | None:
    """Whole units, when there are any and their column has room for them."""
    return int(number / unit) if number and number / unit <= _LARGEST_COLUMN else None


def _limited_cores(cores: float | None, cpu_max: str) -> float | None:
    """In a container: the cores' worth of time that it may use, at least one."""
    quota, _, period = cpu_max.partition(" ")
    share, of = _number(quota), _number(period)
    return min(cores, max(1.0, share / of)) if cores and share and of else cores


def _cgroup_kb(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None else number / 1024


def _used(total: float | None, free: float | None) -> float | None:
    return None if not total or free is None else round(max(0.0, min(100.0, 100 * (1 - free / total))), 1)


def _disk_used(total: float | None, used: float | None, free: float | None) -> float | None:
    """As `df` says it: of what this account could fill, since some is kept for root."""
    return _used(total, free) if used is None or free is None else _used(used + free, free)


def _share(load: float | None, cores: float | None) -> float | None:
    return None if not cores or load is None else round(min(100.0, 100 * load / cores), 1)


def _stalled(line: str) -> float | None:
    """Of the last minute, the share in which some task waited, as the kernel's pressure stall information says it."""
    match = _STALLED.match(line)
    return None if match is None else min(100.0, float(match[1]))


def _counts_inodes(facts: Mapping[str, str]) -> bool:
    """Some file systems (btrfs) have no fixed number of files and say 0 of 0."""
    return facts.get("disk.inodes_total", "0") not in {"", "0", "-"}
