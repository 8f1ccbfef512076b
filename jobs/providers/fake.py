"""A provider that plays every behaviour without a process: for tests and the demo.

The plan of a build is its submission's label `fake`, words with commas between them: `lines=N` (log lines),
`seconds=N` (how long it runs), `exit=N`, `refuse` (not taken), `full` (nor would be any other build),
`unreachable=N` (the first N calls fail), `silent` (no log), `lost` (it vanishes after the start), `slow` (one line a
poll), `broken` (its reports cannot be followed: a defect of a provider), `crash=N` (its first N polls raise what no
provider may).
"""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from jobs.providers.base import (
    BuildStatus,
    BuiltFile,
    BuiltFiles,
    Capabilities,
    Change,
    FileContent,
    Metadata,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
    Report,
    build_id_of,
    identifier_of,
)
from servers.models import BuildServer


@dataclass
class _Play:
    """One build that is played."""

    plan: dict[str, str]
    log: bytes
    began: float = field(default_factory=time.monotonic)
    cancelled: bool = False

    def number(self, word: str, default: float = 0) -> float:
        return float(self.plan.get(word) or default)

    @property
    def ended(self) -> bool:
        return self.cancelled or time.monotonic() - self.began >= self.number("seconds")

    @property
    def shown(self) -> int:
        """Bytes of the log that are there by now."""
        seconds = self.number("seconds")
        if self.ended or not seconds:
            return len(self.log)
        return int(len(self.log) * (time.monotonic() - self.began) / seconds)


_plays: dict[str, _Play] = {}
_failures: dict[str, int] = {}
_lock = threading.Lock()


class FakeProvider:
    """Plays builds in this process's memory; every instance sees the same ones."""

    name = "fake"
    capabilities = Capabilities(streams_log=True, confirms_cancel=True, lists_files=True, forgets=True)

    @classmethod
    def connect(cls, server: BuildServer) -> "FakeProvider":
        """The same for every server."""
        return cls()

    def trigger(self, change: Change, metadata: Metadata) -> tuple[str, BuildStatus]:
        """Begin the play that the label `fake` describes."""
        plan = _read_plan(metadata.labels.get("fake", ""))
        with _lock:
            if metadata.attempt_id in _plays:
                return build_id_of(self.name, identifier=metadata.attempt_id), BuildStatus.RUNNING
            if _failures.setdefault(metadata.attempt_id, int(plan.get("unreachable") or 0)) > 0:
                _failures[metadata.attempt_id] -= 1
                raise ProviderUnreachable("The fake server is away for now.", nothing_sent=True)
            if "refuse" in plan:
                raise ProviderRefused("The fake server refuses this build.")
            if "full" in plan:
                raise ProviderRefused("The disk of the fake server is full; make room there.", any_build=True)
            lines = 0 if "silent" in plan else int(plan.get("lines") or 3)
            log = "".join(f"line {number} of {change.repository}\n" for number in range(1, lines + 1))
            _plays[metadata.attempt_id] = _Play(plan, log.encode())
        return build_id_of(self.name, identifier=metadata.attempt_id), BuildStatus.ACCEPTED

    def status(self, build_id: str) -> BuildStatus:
        """Where the play stands."""
        return self.poll([(build_id, 0)], max_bytes=0)[0].status

    def cancel(self, build_id: str, *, claim: bool = False) -> bool:
        """End a play; True when it never began."""
        with _lock:
            play = _plays.get(identifier_of(build_id))
            if play is not None and not play.ended:
                play.cancelled = True
        return play is None

    def poll(self, requests: Sequence[tuple[str, int]], *, max_bytes: int) -> list[Report]:
        """What the plays show by now."""
        with _lock:
            for build_id, _ in requests:
                _crash(identifier_of(build_id))
            return [self._report(build_id, offset, max_bytes) for build_id, offset in requests]

    def read_log(
        self, build_id: str, offset: int, *, max_bytes: int, part_bytes: int
    ) -> Generator[Report, None, None]:
        """One part."""
        yield from self.poll([(build_id, offset)], max_bytes=part_bytes)

    def _report(self, build_id: str, offset: int, max_bytes: int) -> Report:
        play = _plays.get(identifier_of(build_id))
        if play is None or "lost" in play.plan:
            return Report(build_id, BuildStatus.UNKNOWN, exists=False, offset=offset)
        size = play.shown
        limit = min(max_bytes, 40) if "slow" in play.plan else max_bytes
        data = play.log[offset : min(size, offset + limit)]
        if "broken" in play.plan:
            return Report(build_id, BuildStatus.RUNNING, offset=offset, data=None, size=size)  # type: ignore[arg-type]  # the defect
        report = {"offset": offset, "data": data, "size": size, "phase": "building", "commit": "f" * 40}
        if not play.ended:
            return Report(build_id, BuildStatus.RUNNING, **report)  # type: ignore[arg-type]  # a dict of mixed values
        if play.cancelled:
            return Report(build_id, BuildStatus.CANCELLED, reason="cancelled", exit_code=143, **report)  # type: ignore[arg-type]  # same
        code = int(play.number("exit"))
        status = BuildStatus.FAILED if code else BuildStatus.SUCCEEDED
        return Report(build_id, status, reason="exited", exit_code=code, **report)  # type: ignore[arg-type]  # same

    def list_files(self, build_id: str, *, starts: Sequence[tuple[str, int]]) -> BuiltFiles:
        """A play leaves no files."""
        return BuiltFiles()

    def read_files(self, build_id: str, files: Sequence[BuiltFile]) -> Iterator[FileContent]:
        """A play leaves no files."""
        yield from ()

    def forget(self, build_ids: Sequence[str]) -> dict[str, ProviderError]:
        """Drop the plays."""
        with _lock:
            for build_id in build_ids:
                _plays.pop(identifier_of(build_id), None)
                _failures.pop(identifier_of(build_id), None)
        return {}

    def close(self) -> None:
        """Nothing is open."""


def _crash(attempt_id: str) -> None:
    play = _plays.get(attempt_id)
    if play is not None and int(play.number("crash")) > 0:
        play.plan["crash"] = str(int(play.number("crash")) - 1)
        raise RuntimeError("a defect of the fake provider")


def _read_plan(text: str) -> dict[str, str]:
    words = (word.partition("=") for word in text.split(",") if word.strip())
    return {name.strip(): value.strip() for name, _, value in words}
