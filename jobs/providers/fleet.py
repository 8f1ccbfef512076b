"""The provider of own build servers: durable runs through the helper on one server. Errors become the boundary's."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from jobs.providers.base import (
    BuildStatus,
    BuiltFile,
    BuiltFiles,
    Capabilities,
    Change,
    FileContent,
    Limits,
    Metadata,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderUnreachable,
    Report,
    build_id_of,
    identifier_of,
)
from jobs.queue.conditions import DISK_FLOOR_MIB
from servers.connections import open_client
from servers.frames import PollEntry, RunLimits, RunState
from servers.models import BuildServer
from servers.runs import CancelOutcome, RemoveOutcome, RunClient
from servers.transport import BadReply, HelperRefused, TransportError, TransportTimeout

_FILE_SENTENCES = {
    "missing": "it is gone, or no regular file any more",
    "refused": "it lies behind a symbolic link now",
    "changed": "it became shorter while it was read",
}
_OWN_REASONS = {"full", "diskfull", "noproc"}  # of the server, whatever the build is
POLL_SECONDS = 20.0
POLL_ONE_SECONDS = 10.0


class FleetProvider:
    """Builds on one server. It keeps no state: every call may be repeated, by any process.

    Each call opens the way anew, which costs nothing while it is open: a client that is kept would not hear of one
    that was replaced.
    """

    name = "fleet"
    capabilities = Capabilities(streams_log=True, confirms_cancel=True, lists_files=True, forgets=True)

    def __init__(self, server: BuildServer) -> None:
        self._row = server
        self._server = server.name

    @property
    def _client(self) -> RunClient:
        """Within `_translated`: raises TransportError for rows that nobody can connect to."""
        return open_client(self._row)

    def trigger(self, change: Change, metadata: Metadata) -> tuple[str, BuildStatus]:
        """Send and start the run in one exec."""
        with self._translated():
            self._client.submit(
                metadata.attempt_id,
                script=metadata.script,
                environment=metadata.environment,
                limits=_run_limits(metadata.limits),
            )
        return build_id_of(self.name, identifier=metadata.attempt_id), BuildStatus.ACCEPTED

    def status(self, build_id: str) -> BuildStatus:
        """Where the run stands; no log is read."""
        return self.poll([(build_id, 0)], max_bytes=0)[0].status

    def cancel(self, build_id: str, *, claim: bool = False) -> bool:
        """Ask the helper to end the run; True when it never started and never will."""
        with self._translated():
            outcome = self._client.cancel(identifier_of(build_id), claim=claim)
        return outcome is CancelOutcome.NEVER_STARTED

    def poll(self, requests: Sequence[tuple[str, int]], *, max_bytes: int) -> list[Report]:
        """All runs of the server in one exec."""
        if not requests:
            return []
        with self._translated():
            asked = [(identifier_of(build_id), offset) for build_id, offset in requests]
            seconds = POLL_SECONDS if len(asked) > 1 else POLL_ONE_SECONDS
            reply = self._client.poll(asked, max_bytes=max_bytes, timeout_seconds=seconds)
        return [_report(build_id_of(self.name, identifier=entry.id), entry) for entry in reply]

    def read_log(
        self, build_id: str, offset: int, *, max_bytes: int, part_bytes: int
    ) -> Generator[Report, None, None]:
        """One run in one exec, whose output is taken as it comes."""
        with self._translated():
            entries = self._client.read_log(
                identifier_of(build_id),
                offset=offset,
                max_bytes=max_bytes,
                part_bytes=part_bytes,
                timeout_seconds=POLL_ONE_SECONDS,
            )
            with closing(entries):
                for entry in entries:
                    yield _report(build_id, entry)

    def list_files(self, build_id: str, *, starts: Sequence[tuple[str, int]]) -> BuiltFiles:
        """Regular files below the folder that the helper ran it in."""
        with self._translated():
            listing = self._client.list_files(identifier_of(build_id), starts=starts)
        files = [BuiltFile(file.path, file.size) for file in listing.files]
        return BuiltFiles(files, refused=listing.refused, truncated=listing.truncated)

    def read_files(self, build_id: str, files: Sequence[BuiltFile]) -> Iterator[FileContent]:
        """All in one stream where the server has `tar`; what did not come by it, one after the other."""
        attempt_id = identifier_of(build_id)
        left = {file.path: file.size for file in files}
        try:
            with self._translated():
                for file in self._client.read_files(attempt_id, left.copy()):
                    del left[file.path]
                    yield FileContent(file.path, self._chunks(file.chunks), file.sha256)
        except ProviderRefused as refusal:
            cause = refusal.__cause__
            if not isinstance(cause, HelperRefused) or cause.word != "notar":
                raise
        for path in left:
            with self._translated():
                chunks = self._client.read_file(attempt_id, path)
            yield FileContent(path, self._chunks(chunks))

    def _chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        with self._translated():
            yield from chunks

    def forget(self, build_ids: Sequence[str]) -> dict[str, ProviderError]:
        """Remove the runs' folders in one exec; one that still runs, since it was given up, is ended first."""
        with self._translated():
            outcomes = self._client.remove([identifier_of(build_id) for build_id in build_ids])
        left: dict[str, ProviderError] = {}
        for build_id in build_ids:
            outcome = outcomes[identifier_of(build_id)]
            try:
                if outcome is RemoveOutcome.RUNNING:
                    outcome = self._end_given_up(identifier_of(build_id))
                self._check_removed(outcome)
            except ProviderError as error:
                left[build_id] = error
        return left

    def _end_given_up(self, identifier: str) -> RemoveOutcome:
        with self._translated():
            if self._client.cancel(identifier) is not CancelOutcome.NEVER_STARTED:
                return RemoveOutcome.RUNNING
            return self._client.remove([identifier])[identifier]

    def _check_removed(self, outcome: RemoveOutcome) -> None:
        if outcome is RemoveOutcome.RUNNING:
            raise ProviderError(f"{self._server} still ends a build that was given up.")
        if outcome is RemoveOutcome.KEPT:
            raise ProviderRefused(f"{self._server} could not remove the build; is its disk full?")

    def close(self) -> None:
        """Nothing is kept open between calls."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except HelperRefused as error:
            own = error.word in _OWN_REASONS
            raise ProviderRefused(_sentence(self._server, error), any_build=own) from error
        except (BadReply, TransportTimeout) as error:
            raise ProviderGarbled(f"{self._server}: {error}") from error
        except TransportError as error:
            raise ProviderUnreachable(f"{self._server}: {error}", nothing_sent=error.nothing_sent) from error


def connect_fleet(server: BuildServer) -> FleetProvider:
    """The provider for one server as its row is now."""
    return FleetProvider(server)


def _run_limits(limits: Limits) -> RunLimits:
    return RunLimits(
        wall_seconds=limits.timeout_seconds,
        idle_seconds=limits.idle_timeout_seconds,
        grace_seconds=limits.grace_seconds,
        disk_floor_kib=DISK_FLOOR_MIB * 1024,
    )


def _report(build_id: str, entry: PollEntry) -> Report:
    ended = entry.exit
    return Report(
        build_id=build_id,
        status=_status(entry),
        exists=entry.state is not RunState.ABSENT,
        offset=entry.offset,
        data=entry.data,
        size=entry.size,
        phase=entry.phase.name if entry.phase else "",
        commit=entry.commit or "",
        reason=ended.reason if ended else "",
        exit_code=ended.code if ended else None,
        left_processes=bool(ended and ended.left),
        readable=entry.state is not RunState.DAMAGED,
    )


def _status(entry: PollEntry) -> BuildStatus:
    if entry.state in {RunState.ABSENT, RunState.DAMAGED}:
        return BuildStatus.UNKNOWN
    if entry.state is RunState.PREPARED:
        return BuildStatus.ACCEPTED
    if entry.exit is None:
        return BuildStatus.RUNNING
    if entry.exit.reason == "cancelled":
        return BuildStatus.CANCELLED
    clean = entry.exit.reason == "exited" and entry.exit.code == 0
    return BuildStatus.SUCCEEDED if clean else BuildStatus.FAILED


def _sentence(server: str, error: HelperRefused) -> str:
    if error.word in {"full", "diskfull"}:
        return f"The disk of {server} is full; make room there."
    if error.word in _FILE_SENTENCES:
        return _FILE_SENTENCES[error.word]
    if error.word == "noproc":
        return f"{server} has no /proc that shows its own processes, which the helper needs."
    return f"{server} refused: {error}."
