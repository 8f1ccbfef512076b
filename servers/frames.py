"""What goes over the wire to helper.sh and back, as plain values: builds inputs, parses replies.

A reply that is cut anywhere, or that is not for this nonce, is a BadReply: asking again loses no state. It is
not in charge of asking (runs.py), nor of files (file_frames.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from servers.transport import BadReply, HelperRefused

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a build may have forged is taken only where it fits what is made of it: columns, and Python's own limits.
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{1,64}")
_EXIT = re.compile(r"([a-z]{1,32}) (-1|[0-9]{1,3}) ([0-9]{1,18}) ([0-9]{1,18}) left=([01])", re.ASCII)
_HIGHEST_CODE = 255


class RunState(StrEnum):
    """The server's verdict on one attempt."""

    ABSENT = "absent"
    PREPARED = "prepared"
    RUNNING = "running"
    ORPHAN = "orphan"  # its runner died; what is left finishes it
    DONE = "done"
    DAMAGED = "damaged"  # its records could not be read in time: nothing is known now, ask again later


@dataclass(frozen=True)
class RunLimits:
    """What ends a build before its time; 0: no limit. The grace lies between TERM and KILL."""

    wall_seconds: int = 0
    idle_seconds: int = 0
    grace_seconds: int = 5
    disk_floor_kib: int = 0


@dataclass(frozen=True)
class PhaseMark:
    """The last phase that the build's script named, by the server's clock; about where in the log, 0 when unknown."""

    name: str
    epoch: int
    log_offset: int


@dataclass(frozen=True)
class ExitRecord:
    """How it ended: nothing of it runs any more, unless `left`.

    `reason` is `exited`, a cancel's (`cancelled`, `timeout`, `idle`, `diskfull`), `lost`, `rebooted` or
    `damaged`; `code` is the script's, -1 where there is none.
    """

    reason: str
    code: int
    log_bytes: int
    epoch: int
    left: bool


@dataclass(frozen=True)
class PollEntry:
    """One attempt at the moment of a poll: `data` lies at `offset` of the log, which is `size` long by now.

    A done one's `size` is final; it is less than the record's `log_bytes` when someone cut the log itself.
    """

    id: str
    state: RunState
    offset: int
    data: bytes
    size: int
    phase: PhaseMark | None = None
    commit: str | None = None
    exit: ExitRecord | None = None


@dataclass(frozen=True)
class RunListing:
    """One job that the server knows."""

    id: str
    state: RunState
    exit: ExitRecord | None


def build_submission(
    script: bytes, *, environment: Mapping[str, str], limits: RunLimits
) -> tuple[list[str], bytes]:
    """The sizes and the bytes of a submit: limits, environment and script in one piece.

    Raises ValueError for a name that is no variable's and for a NUL in a value.
    """
    spec = (
        f"WALL={limits.wall_seconds:d}\nIDLE={limits.idle_seconds:d}\n"
        f"GRACE={limits.grace_seconds:d}\nDISKMIN={limits.disk_floor_kib:d}\n"
    ).encode()
    variables = export_lines(environment)
    return [str(len(part)) for part in (spec, variables, script)], spec + variables + script


def export_lines(environment: Mapping[str, str]) -> bytes:
    """Shell text that sets these variables. Raises ValueError as `build_submission` does."""
    # The last line: read to its end, whatever became of single names.
    return b"".join(_export(name, value=value) for name, value in environment.items()) + b":\n"


def _export(name: str, *, value: str) -> bytes:
    # `command`, since a name that is read-only in some shell (UID) would end that shell otherwise.
    if not _NAME.fullmatch(name) or name == "IFS":
        raise ValueError(f"{name!r} cannot be an environment variable")
    if "\0" in value:
        raise ValueError(f"the value of {name} holds a NUL")
    quoted = value.replace("'", "'\\''")
    return f"command export {name}='{quoted}'\n".encode()


def has_header(reply: bytes, *, nonce: str) -> bool:
    """Whether the helper itself began to answer."""
    return f"BB1 {nonce}\n".encode() in reply


def unframe(reply: bytes, *, nonce: str) -> tuple[bytes, int]:
    """The body of a reply of lines, and the helper's status."""
    start = _body_start(reply, nonce=nonce)
    found = re.search(rb"(?:^|\n)BBEND %b ([0-9]{1,3})\n" % nonce.encode(), reply[start:])
    if found is None:
        raise BadReply("the reply was cut")
    return reply[start : start + found.start() + (found[0][:1] == b"\n")], int(found[1])


def parse_answer(reply: bytes, *, nonce: str) -> list[str]:
    """The words of a one-line answer; a status that is not 0 raises HelperRefused."""
    body, status = unframe(reply, nonce=nonce)
    words = body.decode(errors="replace").split()
    if status:
        raise HelperRefused(words[0] if words else "usage", status=status, detail=" ".join(words[1:]))
    if not words:
        raise BadReply("the answer is empty")
    return words


def parse_removal(reply: bytes, *, nonce: str) -> dict[str, str]:
    """A word for each attempt."""
    body, status = unframe(reply, nonce=nonce)
    if status:
        raise HelperRefused(body.decode(errors="replace").strip() or "usage", status=status)
    lines = [line.partition(" ") for line in body.decode(errors="replace").split("\n")[:-1]]
    return {attempt_id: word for attempt_id, _, word in lines}


def parse_poll(reply: bytes, *, nonce: str, requests: Sequence[tuple[str, int]]) -> tuple[PollEntry, ...]:
    """Exactly the attempts that were asked for, each with all its bytes, or BadReply."""
    lines = _Lines(reply, at=_body_start(reply, nonce=nonce))
    entries = tuple(_parse_entry(lines, id=id, offset=offset) for id, offset in requests)
    if lines.next_line() != f"BBEND {nonce} 0".encode():
        raise BadReply("a poll ends after what was asked for")
    return entries


def parse_list(reply: bytes, *, nonce: str) -> tuple[RunListing, ...]:
    """Every job that the server knows."""
    body, status = unframe(reply, nonce=nonce)
    if status:
        raise HelperRefused("usage", status=status)
    found = []
    for line in body.decode(errors="replace").split("\n")[:-1]:
        id, _, rest = line.partition(" ")
        state, *record = rest.split(" ")
        found.append(RunListing(id=id, state=_state(state), exit=_parse_exit(record, state=state)))
    return tuple(found)


class _Lines:
    """A cursor over a reply of lines and counted bytes."""

    def __init__(self, reply: bytes, *, at: int) -> None:
        self._reply = reply
        self._at = at

    def next_line(self) -> bytes:
        end = self._reply.find(b"\n", self._at)
        if end < 0:
            raise BadReply("the reply was cut")
        line, self._at = self._reply[self._at : end], end + 1
        return line

    def take(self, count: int) -> bytes:
        data = self._reply[self._at : self._at + count]
        if len(data) != count:
            raise BadReply("the reply was cut")
        self._at += count
        return data


def _body_start(reply: bytes, *, nonce: str) -> int:
    mark = f"BB1 {nonce}\n".encode()
    found = reply.find(mark)
    if found < 0:
        raise BadReply("no reply")
    return found + len(mark)


def _parse_entry(lines: _Lines, *, id: str, offset: int) -> PollEntry:
    entry, count = parse_entry_line(lines.next_line(), id=id, offset=offset)
    return replace(entry, data=lines.take(count))


def parse_entry_line(line: bytes, *, id: str, offset: int) -> tuple[PollEntry, int]:
    """What a poll says of an attempt, as yet without its bytes, and how many of them follow."""
    words = line.decode(errors="replace").split(" ")
    asked_for = len(words) >= 8 and words[:2] == ["@", id] and words[3] == str(offset)
    if not asked_for or not (_NUMBER.fullmatch(words[4]) and _NUMBER.fullmatch(words[5])):
        raise BadReply(f"the reply about {id} is not one")
    entry = PollEntry(
        id=id,
        state=_state(words[2]),
        offset=offset,
        data=b"",
        size=int(words[5]),
        phase=_parse_phase(words[6]),
        commit=words[7] if _COMMIT.fullmatch(words[7]) else None,
        exit=_parse_exit(words[8:], state=words[2]),
    )
    return entry, int(words[4])


def _state(word: str) -> RunState:
    try:
        return RunState(word)
    except ValueError:
        raise BadReply("an unknown state") from None


def _parse_phase(word: str) -> PhaseMark | None:
    name, _, numbers = word.partition(":")
    epoch, _, log_offset = numbers.partition(":")
    if not (_NUMBER.fullmatch(epoch) and _NUMBER.fullmatch(log_offset)):
        return None
    return PhaseMark(name=name, epoch=int(epoch), log_offset=int(log_offset))


def _parse_exit(words: Sequence[str], *, state: str) -> ExitRecord | None:
    """The exit record of a done run. A build that wrote into it may lie, not stop the reading of others."""
    if state != RunState.DONE:
        return None
    match = _EXIT.fullmatch(" ".join(words))
    if match is None or int(match[2]) > _HIGHEST_CODE:
        return ExitRecord(reason="damaged", code=-1, log_bytes=0, epoch=0, left=True)
    return ExitRecord(
        reason=match[1],
        code=int(match[2]),
        log_bytes=int(match[3]),
        epoch=int(match[4]),
        left=match[5] != "0",
    )
