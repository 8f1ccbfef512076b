"""What the probes of a server came to, reading by reading, beside the thresholds that make it degraded."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.views.sizes import mebibyte_words
from servers.models import BuildServer
from servers.thresholds import Band, bands_of

_Say = Callable[[float], str]


def _percent(value: float) -> str:
    return f"{value:.0f}%"


def _mebibytes(value: float) -> str:
    return mebibyte_words(round(value))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms"


def _seconds(value: float) -> str:
    return f"{value:.0f} s"


def _load(value: float) -> str:
    return f"{value:.1f}"


# By a band's name: the line's title, what is said after the figure, and how a figure is said.
_WORDS: dict[str, tuple[str, str, _Say]] = {
    "memory": ("Memory", "in use", _percent),
    "storage": ("Disk", "in use", _percent),
    "free_storage": ("Room on the disk", "free", _mebibytes),
    "inodes": ("Room for files", "more fit", _count),
    "clock": ("Clock", "off", _seconds),
    "load": ("Load", "for each core", _load),
    "memory_stall": ("Waiting for memory", "of a minute", _percent),
    "disk_stall": ("Waiting for the disk", "of a minute", _percent),
    "latency": ("Time to answer", "", _milliseconds),
}


@dataclass(frozen=True)
class HealthLine:
    """One reading: its figure, and the threshold that it is past, or would have to pass."""

    word: str
    figure: str
    threshold: str
    holds: bool


def health_of(server: BuildServer) -> list[HealthLine]:
    """A line for each reading that its last probes gave; no query."""
    bands = bands_of(
        memory_limit_percent=server.memory_limit_percent, storage_limit_percent=server.storage_limit_percent
    )
    strains = server.strains or {}
    return [_line(band, strains[band.name]) for band in bands if band.name in strains]


def _line(band: Band, strain: dict[str, float]) -> HealthLine:
    word, after, say = _WORDS[band.name]
    side = "under" if band.falls else "over"
    holds = bool(strain.get("holds"))
    threshold = f"well again at {say(band.leave)}" if holds else f"degraded {side} {say(band.enter)}"
    return HealthLine(word, f"{say(float(strain.get('value', 0)))} {after}".strip(), threshold, holds)
