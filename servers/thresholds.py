"""When a server that answers is unwell: readings against bands, from one probe to the next. Pure functions of values.

Each band has two ends. Past `enter` for some probes in a row the server is strained, and it is well again only once as
many in a row are back at `leave`; between the two nothing changes, so a reading that hovers about a threshold moves
nothing. It is not in charge of limits past which no build is sent (each server's own, judged at every claim), nor of
the status (health.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from servers.probe import Measures

COMES_AND_GOES = 3  # probes in a row: a build may well take all of it for a minute
STAYS = 1  # what is on a disk, or a clock, is as it is
_GAP_PERCENT = 5


@dataclass(frozen=True)
class Band:
    """One reading's two thresholds; where `leave` is the higher one, less is worse.

    `told` is the sentence while it is strained: the figure, and what to do. It may name value, enter and leave.
    """

    name: str
    enter: float
    leave: float
    probes: int
    told: str

    @property
    def falls(self) -> bool:
        """Whether less is worse."""
        return self.leave > self.enter

    def is_past(self, value: float) -> bool:
        """Whether this reading speaks for a strain."""
        return value < self.enter if self.falls else value > self.enter

    def is_back(self, value: float) -> bool:
        """Whether this reading speaks for its end."""
        return value >= self.leave if self.falls else value <= self.leave

    def sentence(self, value: float) -> str:
        """What is wrong, with the figure of now."""
        return self.told.format(value=value, enter=self.enter, leave=self.leave)


@dataclass(frozen=True)
class Strain:
    """What is known of one band: whether it holds, how many probes in a row spoke against that, the last reading."""

    holds: bool = False
    against: int = 0
    value: float = 0.0


@dataclass(frozen=True)
class Assessment:
    """What to remember, as JSON can hold it, and a sentence for each strain that holds."""

    strains: dict[str, dict[str, float]]
    sentences: tuple[str, ...]


FREE_STORAGE = Band("free_storage", 1024, 2048, STAYS, "Only {value:.0f} MB of its disk are free: make room.")
_EVERYWHERE = (
    FREE_STORAGE,
    Band("inodes", 1000, 2000, STAYS, "Only {value:.0f} files fit on its disk (inodes): remove small files."),
    Band("clock", 300, 120, STAYS, "Its clock is {value:.0f} s off: set it, best with NTP."),
    Band(
        "load",
        16,  # four builds that take two tasks a core each are busy, and well
        10,
        COMES_AND_GOES,
        "Its load is {value:.1f} for each core: run fewer builds at once there, or see what else it runs.",
    ),
    Band(
        "memory_stall",
        40,
        15,
        COMES_AND_GOES,
        "In {value:.0f}% of a minute something there waited for memory: run fewer builds at once, or add memory.",
    ),
    Band(
        "disk_stall",
        90,
        60,
        COMES_AND_GOES,
        "In {value:.0f}% of a minute something there waited for the disk: run fewer builds at once, or see if it "
        "is failing.",
    ),
    Band(
        "latency",
        3000,
        1500,
        COMES_AND_GOES,
        "It takes {value:.0f} ms to answer: look at its load, and at the network to it.",
    ),
)


def bands_of(*, memory_limit_percent: int, storage_limit_percent: int) -> tuple[Band, ...]:
    """Every band of a server with these limits of its own: past one of them it takes no builds."""
    return (
        _limit_band(
            "memory",
            memory_limit_percent,
            COMES_AND_GOES,
            "Its memory is {value:.0f}% in use; over {enter:.0f}% it takes no builds, and at {leave:.0f}% it counts "
            "as well again: run fewer builds at once, or raise its limit.",
        ),
        _limit_band(
            "storage",
            storage_limit_percent,
            STAYS,
            "Its disk is {value:.0f}% full; over {enter:.0f}% it takes no builds, and at {leave:.0f}% it counts as "
            "well again: make room, or raise its limit.",
        ),
        *_EVERYWHERE,
    )


def _limit_band(name: str, limit: int, probes: int, told: str) -> Band:
    return Band(name, limit, limit - min(_GAP_PERCENT, limit / 2), probes, told)


def readings_of(measures: Measures, *, latency_ms: float | None) -> dict[str, float | None]:
    """The reading for each band; None: not measured."""
    return {
        "memory": measures.memory_percent,
        "storage": measures.storage_percent,
        "free_storage": None if measures.free_kb is None else measures.free_kb / 1024,
        "inodes": measures.free_inodes,
        "clock": measures.clock_error_seconds,
        "load": measures.load_per_core,
        "memory_stall": measures.memory_stall_percent,
        "disk_stall": measures.disk_stall_percent,
        "latency": latency_ms,
    }


def step(band: Band, strain: Strain, value: float, *, counts: bool = True) -> Strain:
    """What is known after this reading. Too soon after the last it does not count where several in a row are needed."""
    speaks = band.is_back(value) if strain.holds else band.is_past(value)
    if not speaks:
        return Strain(strain.holds, 0, value)
    against = strain.against + (counts or band.probes == STAYS)
    if against >= band.probes:
        return Strain(not strain.holds, 0, value)
    return Strain(strain.holds, against, value)


def assess(
    known: Mapping[str, Mapping[str, float]],
    readings: Mapping[str, float | None],
    *,
    bands: Iterable[Band],
    counts: bool = True,
) -> Assessment:
    """Each band after these readings; one that was not measured stays as it was known."""
    strains: dict[str, Strain] = {}
    sentences: dict[str, str] = {}
    for band in bands:
        value = readings.get(band.name)
        strain = _read(known.get(band.name))
        if value is not None:
            strain = step(band, strain or Strain(), value, counts=counts)
        if strain is not None:
            strains[band.name] = strain
            if strain.holds:
                sentences[band.name] = band.sentence(strain.value)
    if FREE_STORAGE.name in sentences:  # says the same with the worse figure
        sentences.pop("storage", None)
    return Assessment({name: asdict(strain) for name, strain in strains.items()}, tuple(sentences.values()))


def _read(row: Mapping[str, float] | None) -> Strain | None:
    if row is None:
        return None
    return Strain(bool(row.get("holds")), int(row.get("against", 0)), float(row.get("value", 0.0)))
