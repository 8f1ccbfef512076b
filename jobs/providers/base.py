"""The contract of what executes a job. The follow loop knows only this; which provider it is does not matter.

For each verb: what it does, how long it may take, what it may raise. A provider may be shared by threads,
recovers from short network failures by itself and keeps no state that matters: everything it needs to find a
build again is in the build id.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

BLOCK_BYTES = 64 << 10


class BuildStatus(StrEnum):
    """Where a build stands at the provider boundary."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self in {BuildStatus.SUCCEEDED, BuildStatus.FAILED, BuildStatus.CANCELLED}


class ProviderError(Exception):
    """The provider could not do it; the text is for a person. `nothing_sent`: the build surely does not run."""

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        super().__init__(message)
        self.nothing_sent = nothing_sent


class ProviderUnreachable(ProviderError):
    """No connection: a state of the link, never an outcome of the build."""


class ProviderGarbled(ProviderUnreachable):
    """An answer that cannot be read, or none in time, from a provider that may well be there: one build may spoil
    the answer about many.
    """


class ProviderRefused(ProviderError):
    """The provider answered that it cannot take this build now (a full disk, say); nothing was started.

    `any_build`: the reason is its own, so that it would refuse any other one, too.
    """

    def __init__(self, message: str, *, any_build: bool = False) -> None:
        super().__init__(message, nothing_sent=True)
        self.any_build = any_build


@dataclass(frozen=True)
class Change:
    """What is built."""

    repository: str
    branch: str
    commit: str
    architecture: str


@dataclass(frozen=True)
class Limits:
    """Bounds of one build, in seconds; 0: none."""

    timeout_seconds: int = 3600
    idle_timeout_seconds: int = 0
    grace_seconds: int = 5


@dataclass(frozen=True)
class Metadata:
    """How it is built: the attempt that it is, the program, its environment (with secrets), its limits."""

    attempt_id: str
    script: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a poll saw of one build. `data` begins at `offset` of the provider's log, whose length is `size`.

    `exists` is False when the provider knows nothing of the build, `readable` when it could not look at this one
    build now, and all else is unknown. `reason` and `exit_code` are set when the
    status is final: reason is `exited`, `cancelled`, `timeout`, `idle`, `diskfull`, `rebooted` or `lost`.
    """

    build_id: str
    status: BuildStatus
    exists: bool = True
    offset: int = 0
    data: bytes = b""
    size: int = 0
    phase: str = ""
    commit: str = ""
    reason: str = ""
    exit_code: int | None = None
    left_processes: bool = False
    readable: bool = True

    def reads_on_at(self, overlap: int) -> int | None:
        """Where to read on, so many bytes before this one's end and up to a block more; None when it brought all.

        At the beginning of a block, since from there on a log costs its server least.
        """
        end = self.offset + len(self.data)
        if not self.data or end >= self.size:
            return None
        return max(0, (end - overlap) // BLOCK_BYTES * BLOCK_BYTES)


@dataclass(frozen=True)
class BuiltFile:
    """A regular file that a finished build left; `path` is relative to its work tree."""

    path: str
    size: int


@dataclass(frozen=True)
class BuiltFiles:
    """What a finished build left. `refused`: how many have names that cannot be shown; `truncated`: not all."""

    files: Sequence[BuiltFile] = ()
    refused: int = 0
    truncated: bool = False


@dataclass(frozen=True)
class FileContent:
    """One such file as it is read. `sha256` is the other side's sum of it, where there is one.

    `chunks` are its bytes, to be read before the next file is asked for. They raise ProviderRefused, without the
    path, when this one cannot be read though others may, and ProviderUnreachable.
    """

    path: str
    chunks: Iterator[bytes]
    sha256: str = ""


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do beyond trigger, status and cancel; asked instead of its type."""

    streams_log: bool = False
    confirms_cancel: bool = False
    lists_files: bool = False
    forgets: bool = False


class BuildProvider(Protocol):
    """What executes builds. Build ids read `provider://id`."""

    name: str
    capabilities: Capabilities

    def trigger(self, change: Change, metadata: Metadata) -> tuple[str, BuildStatus]:
        """Start the build, within 30 s; the same attempt again starts nothing new.

        Raises ProviderRefused, ProviderUnreachable, ProviderError.
        """
        ...

    def status(self, build_id: str) -> BuildStatus:
        """Where the build stands; a round trip. Raises ProviderUnreachable; never for an unknown build."""
        ...

    def cancel(self, build_id: str, *, claim: bool = False) -> bool:
        """Ask for the end of a build, promptly; True when it is sure that it never started and never will.

        `claim`: the start was never answered, so a build that is not known is made impossible to start.
        Raises ProviderUnreachable. Asked again it does nothing new; a finished build is left as it is.
        """
        ...

    def poll(self, requests: Sequence[tuple[str, int]], *, max_bytes: int) -> list[Report]:
        """Reports of many builds in one round trip, each with the log from the offset asked for on.

        Raises ProviderUnreachable, and ProviderGarbled when asking each build alone may help. Without
        `streams_log` the reports carry no data.
        """
        ...

    def read_log(
        self, build_id: str, offset: int, *, max_bytes: int, part_bytes: int
    ) -> Generator[Report, None, None]:
        """A poll of one build whose log is long: at least one report, each with the part after the one before.

        They may say of all else what was true when it began. To be closed; raises as `poll` does, in between too.
        """
        ...

    def list_files(self, build_id: str, *, starts: Sequence[tuple[str, int]]) -> BuiltFiles:
        """Regular files of a finished build, when it `lists_files`: below these paths, at most so much deeper.

        A path is relative to the build's folder; 0: the path itself. Raises ProviderRefused, ProviderUnreachable.
        """
        ...

    def read_files(self, build_id: str, files: Sequence[BuiltFile]) -> Iterator[FileContent]:
        """The bytes of such files, each once, in any order. Raises ProviderRefused, ProviderUnreachable."""
        ...

    def forget(self, build_ids: Sequence[str]) -> Mapping[str, ProviderError]:
        """Remove what these finished builds left, when it `forgets`; again: nothing. Why it was not done, by build.

        Raises ProviderUnreachable and ProviderGarbled when it is not known of any.
        """
        ...

    def close(self) -> None:
        """Give back connections; the builds go on."""
        ...


def build_id_of(provider: str, *, identifier: str) -> str:
    """`provider://id`."""
    return f"{provider}://{identifier}"


def identifier_of(build_id: str) -> str:
    """The part after `://`."""
    return build_id.partition("://")[2]
