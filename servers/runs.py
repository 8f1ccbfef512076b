"""Asks the helper on one server about runs: start, follow, cancel, read, clear away. One call, one exec.

Owns the questions and what their answers mean. It is not in charge of the wire (transport.py), of the frames
(frames.py), or of what the controller does next: it keeps no state, and every call may be repeated.
"""

import re
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from servers import frames
from servers.file_frames import FileListing, PackedFile, iter_file, iter_pack, parse_files
from servers.frames import PollEntry, RunLimits, RunListing
from servers.log_frames import iter_log
from servers.probe import parse_facts
from servers.transport import PROBE_TEXT, BadReply, Chunks, Completed, HelperRefused, Transport, said

POLL_BYTES = 1 << 20  # of one attempt in one reply
FILE_LIMIT = 250_000  # a Linux kernel's tree has 80,000 files before anything is made of them
MOST_DEPTH = 100
MIRROR_DAYS = 30  # without a build that uses it; then the server removes its mirror of a repository
T = TypeVar("T", bound=StrEnum)
_NUMBER = re.compile(r"[0-9]{1,18}")
_MISSING = frozenset({1, 2, 126, 127})  # how shells end that do not find their script


class CancelOutcome(StrEnum):
    """What a cancel found. NEVER_STARTED is final: no late submit of this attempt will run."""

    NEVER_STARTED = "neverstarted"
    REQUESTED = "requested"
    DONE = "done"
    ABSENT = "absent"


class RemoveOutcome(StrEnum):
    """What became of a job's folder. PARTIAL: not all could be deleted, `collect_garbage` tries again. KEPT: none."""

    REMOVED = "removed"
    PARTIAL = "partial"
    ABSENT = "absent"
    RUNNING = "running"
    KEPT = "kept"


@dataclass(frozen=True)
class SubmitOutcome:
    """The attempt was started, by this call or (`already`) by an earlier one."""

    already: bool


class RunClient:
    """The runs of one server. TransportError: asking failed; HelperRefused: the server will not."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._installed = False

    def submit(
        self,
        attempt_id: str,
        *,
        script: bytes,
        environment: Mapping[str, str],
        limits: RunLimits,
        timeout_seconds: float = 60,
    ) -> SubmitOutcome:
        """Start this attempt, or find it started: repeat it until answered, it runs once.

        HelperRefused `full` and `diskfull`: there is no room, and nothing began. After any other failure but
        `nothing_sent` only `cancel(claim=True)` tells whether it runs.
        """
        sizes, payload = frames.build_submission(script, environment=environment, limits=limits)
        words = self._answer("submit", attempt_id, *sizes, stdin=payload, timeout_seconds=timeout_seconds)
        if words[0] not in {"launched", "already"}:
            raise BadReply(f"submit was answered by {words[0]}")
        return SubmitOutcome(already=words[0] == "already")

    def poll(
        self, requests: Sequence[tuple[str, int]], *, max_bytes: int = POLL_BYTES, timeout_seconds: float = 30
    ) -> tuple[PollEntry, ...]:
        """State and new bytes of these attempts, each from its offset, at most `max_bytes` each."""
        asked = [f"{attempt_id}:{offset:d}" for attempt_id, offset in requests]
        reply, nonce = self._ask("poll", str(max_bytes), *asked, timeout_seconds=timeout_seconds)
        return frames.parse_poll(reply, nonce=nonce, requests=requests)

    def read_log(
        self, attempt_id: str, *, offset: int, max_bytes: int, part_bytes: int, timeout_seconds: float = 30
    ) -> Generator[PollEntry, None, None]:
        """The same of one attempt, in parts that are given as they come; the timeout is for silence."""
        words = ("poll", str(max_bytes), f"{attempt_id}:{offset:d}")
        chunks, nonce = self._stream(*words, stdin=b"", timeout_seconds=timeout_seconds)
        with closing(chunks):
            yield from iter_log(chunks, nonce=nonce, id=attempt_id, offset=offset, part_bytes=part_bytes)

    def cancel(
        self, attempt_id: str, *, reason: str = "cancelled", claim: bool = False, timeout_seconds: float = 60
    ) -> CancelOutcome:
        """End this attempt; its exit record confirms that nothing of it is left.

        `claim`: one that the server does not know is made impossible to start (NEVER_STARTED). That is for an
        attempt whose submit was never answered: of one that ran and was removed it would tell the same.
        """
        words = ["cancel", attempt_id, reason] + (["claim"] if claim else [])
        return _known(CancelOutcome, self._answer(*words, timeout_seconds=timeout_seconds)[0])

    def remove(self, attempt_ids: Sequence[str], *, timeout_seconds: float = 300) -> dict[str, RemoveOutcome]:
        """Delete everything of these attempts that has ended; what became of each."""
        if not attempt_ids:
            return {}
        reply, nonce = self._ask("rm", *attempt_ids, timeout_seconds=timeout_seconds)
        words = frames.parse_removal(reply, nonce=nonce)
        if words.keys() != set(attempt_ids):
            raise BadReply("the helper does not tell of each run what became of it")
        return {attempt_id: _known(RemoveOutcome, words[attempt_id]) for attempt_id in attempt_ids}

    def list_runs(self, *, timeout_seconds: float = 60) -> tuple[RunListing, ...]:
        """Every job that this server knows."""
        reply, nonce = self._ask("list", timeout_seconds=timeout_seconds)
        return frames.parse_list(reply, nonce=nonce)

    def list_files(
        self,
        attempt_id: str,
        *,
        starts: Sequence[tuple[str, int]] = ((".", MOST_DEPTH),),
        limit: int = FILE_LIMIT,
        timeout_seconds: float = 120,
    ) -> FileListing:
        """The regular files of the work tree of an attempt that has ended; HelperRefused `running` before.

        Only those below a path of `starts`, at most so many folders deeper; 0: the path itself.
        """
        lines = "".join(f"{min(depth, MOST_DEPTH):d} {_one_line(path)}\n" for path, depth in starts)
        words = ("files", attempt_id, str(limit))
        reply, nonce = self._ask(*words, stdin=lines.encode(), timeout_seconds=timeout_seconds)
        return parse_files(reply, nonce=nonce)

    def read_file(
        self, attempt_id: str, path: str, *, offset: int = 0, timeout_seconds: float = 60
    ) -> Iterator[bytes]:
        """The bytes of one file of `list_files` from `offset`, as they come; the timeout is for silence.

        BadReply when they stop too early: go on from where it stopped. HelperRefused: `missing`, `refused` (a
        symbolic link on the way, or a path that leads out), `changed` (it became shorter), `running`, `absent`.
        """
        asked = f"{_one_line(path)}\n".encode()
        chunks, nonce = self._stream(
            "file", attempt_id, str(offset), stdin=asked, timeout_seconds=timeout_seconds
        )
        with closing(chunks):
            yield from iter_file(chunks, nonce=nonce, offset=offset)

    def read_files(
        self, attempt_id: str, wanted: Mapping[str, int], *, timeout_seconds: float = 600
    ) -> Iterator[PackedFile]:
        """Many files of `list_files` (path to size) in one stream; the timeout is for silence.

        What is not given has changed, or cannot be read so. BadReply when the stream was cut: ask for the rest.
        HelperRefused: `notar` (the server has not what it takes: `read_file` always works), `running`, `absent`.
        """
        asked = "".join(f"{_one_line(path)}\n" for path in wanted).encode()
        chunks, nonce = self._stream("pack", attempt_id, stdin=asked, timeout_seconds=timeout_seconds)
        with closing(chunks):  # now, and not when the last file that was given is forgotten
            yield from iter_pack(chunks, nonce=nonce, wanted=wanted)

    def collect_garbage(self, *, days: int, timeout_seconds: float = 600) -> tuple[int, int]:
        """Remove jobs that ended over `days` ago and what crashes left; (jobs, old helpers) that went."""
        words = self._answer("gc", str(days), timeout_seconds=timeout_seconds)
        if len(words) != 2 or not all(_NUMBER.fullmatch(word) for word in words):
            raise BadReply("the helper does not tell in two numbers what it removed")
        return int(words[0]), int(words[1])

    def tidy_caches(self, *, days: int, most_kib: int, floor_kib: int, timeout_seconds: float = 60) -> bool:
        """Begin to clear the caches of repositories, in the background; False: that goes on already.

        Those not used for `days` go, then the longest unused while they take more than `most_kib` together or fewer
        than `floor_kib` are free. None that a build uses, and no build waits for it.
        """
        words = ("tidy", str(days), str(most_kib), str(floor_kib))
        return self._answer(*words, timeout_seconds=timeout_seconds)[0] == "started"

    def probe(
        self,
        *,
        tools: bool = True,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 60,
    ) -> dict[str, str]:
        """What the server is and has, all printable; `tools` also asks compilers for their versions.

        `environment` is set before anything is looked for, as it is for builds.
        """
        text = frames.export_lines(environment or {}) + PROBE_TEXT
        depth = "tools" if tools else "light"
        reply, nonce = self._ask("probe", depth, stdin=text, timeout_seconds=timeout_seconds)
        body, status = frames.unframe(reply, nonce=nonce)
        if status:
            raise HelperRefused("full", status=status)
        return parse_facts(body.decode(errors="replace"))

    def _stream(
        self, operation: str, *words: str, stdin: bytes, timeout_seconds: float
    ) -> tuple[Chunks, str]:
        if not self._installed:
            self.poll([])
        nonce = secrets.token_hex(8)
        line = [operation, nonce, *words]
        return self._transport.stream(line, stdin=stdin, timeout_seconds=timeout_seconds), nonce

    def _answer(self, *words: str, stdin: bytes = b"", timeout_seconds: float) -> list[str]:
        reply, nonce = self._ask(*words, stdin=stdin, timeout_seconds=timeout_seconds)
        return frames.parse_answer(reply, nonce=nonce)

    def _ask(
        self, operation: str, *words: str, stdin: bytes = b"", timeout_seconds: float
    ) -> tuple[bytes, str]:
        """One exec; a server without the helper gets it first."""
        nonce = secrets.token_hex(8)
        line = [operation, nonce, *words]
        completed = self._transport.run(line, stdin=stdin, timeout_seconds=timeout_seconds)
        if completed.exit_code in _MISSING and not frames.has_header(completed.stdout, nonce=nonce):
            self._transport.install()
            completed = self._transport.run(line, stdin=stdin, timeout_seconds=timeout_seconds)
        if not frames.has_header(completed.stdout, nonce=nonce):
            raise BadReply(_explain(completed))
        self._installed = True
        return completed.stdout, nonce


def _known(outcome: type[T], word: str) -> T:
    try:
        return outcome(word)
    except ValueError:
        raise BadReply(f"the helper answers {said(word)}, which is no {outcome.__name__}") from None


def _one_line(path: str) -> str:
    if "\n" in path or "\0" in path:
        raise ValueError("a path of list_files has no control characters")
    return path


def _explain(completed: Completed) -> str:
    heard = said(completed.stderr or completed.stdout) or "nothing was said"
    return f"the helper did not answer (exit code {completed.exit_code}): {heard}"
