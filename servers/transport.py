"""How the controller reaches the helper on a build server: one interface for this machine and for SSH.

Owns the interface, its errors and the helper's text and name. It is not in charge of what the helper is asked
(runs.py), of the frames (frames.py), or of how bytes travel (local.py, ssh.py).
"""

import hashlib
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servers.host_keys import HostKey

Chunks = Generator[bytes, None, None]  # of a stream, which its reader closes
_HERE = Path(__file__).parent
_WORD = re.compile(r"[A-Za-z0-9._:-]+")

# One file on the server: the run itself and its records, and then, behind the door, what it can be asked, the most
# frequent first. Named by its content, so that an upgrade never touches the text that a running shell still reads.
HELPER_PARTS = (
    "helper.sh",
    "records.sh",
    "tree.sh",
    "door.sh",
    "operations.sh",
    "artifacts.sh",
    "mirror_lock.sh",
    "housekeeping.sh",
)
HELPER_TEXT = b"".join((_HERE / name).read_bytes() for name in HELPER_PARTS)
HELPER_NAME = f"bb-{hashlib.sha256(HELPER_TEXT).hexdigest()[:16]}.sh"
# Of the caches of repositories: the build script takes it too.
LOCK_TEXT = (_HERE / "mirror_lock.sh").read_bytes()
PROBE_TEXT = (_HERE / "probe.sh").read_bytes()

# What `run` takes of a server as one reply: over the logs of one poll (REPLY_BYTES of jobs/execution/polling.py,
# or its LEAST_BYTES times MOST_TOGETHER) and the largest list of files. More than that is not the helper's.
MOST_REPLY_BYTES = 64 << 20


_MOST_SAID = 300  # characters of a server's words in one of ours


def said(words: bytes | str) -> str:
    """The end of what a server said, fit for a sentence, a row and a page: one printable line of 300 characters.

    Databases refuse NUL, and terminals and readers are misled by other control characters.
    """
    text = words[-4 * _MOST_SAID :].decode(errors="replace") if isinstance(words, bytes) else words
    plain = "".join(letter if letter.isprintable() else " " for letter in text[-_MOST_SAID:])
    return " ".join(plain.split())


class TransportError(Exception):
    """The exchange failed. `nothing_sent`: the server surely never saw it, so nothing of it has begun."""

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        super().__init__(message)
        self.nothing_sent = nothing_sent


class Unreachable(TransportError):
    """The server cannot be reached now; asking again later can help."""


class TransportTimeout(TransportError):
    """No answer in time. What was asked may have happened; ask again, every operation may be repeated."""


class BadReply(TransportError):
    """The reply was cut, or was not the helper's. What was asked may have happened; ask again."""


class LoginRefused(TransportError):
    """The server does not let us in: another key or account is needed. Asking again alone cannot help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, nothing_sent=True)


class HostKeyProblem(TransportError):
    """The server's host key is not a pinned one: nothing was sent, no login was tried.

    `seen` is the key that it showed; `server_id` the row whose host this is, which may be a jump host; `asked` its
    host, port and pinned keys as they were then.
    """

    def __init__(
        self,
        message: str,
        *,
        seen: HostKey,
        server_id: str = "",
        asked: tuple[str, int, tuple[HostKey, ...]] | None = None,
    ) -> None:
        super().__init__(message, nothing_sent=True)
        self.seen = seen
        self.server_id = server_id
        self.asked = asked


class HostKeyUnknown(HostKeyProblem):
    """No key is pinned yet: an operator must accept the one that was seen."""


class HostKeyMismatch(HostKeyProblem):
    """Another key than the pinned ones: the host was set up anew, or somebody stands in between."""


class HelperRefused(Exception):
    """The helper answered that it will not: `word` says why, `detail` more of it, `status` is its code.

    Words: `full` and `diskfull` (no room on the server), `noscript`, `notstarted`, `noproc` (a server without
    a /proc of its own processes), `short` (the input was cut), `running` (not before it has ended), `absent`,
    `missing`, `refused`, and `usage`.
    """

    def __init__(self, word: str, *, status: int, detail: str = "") -> None:
        self.word = said(word)
        self.status = status
        self.detail = said(detail)
        super().__init__(f"{self.word} {self.detail}".strip())

    @property
    def retry_helps(self) -> bool:
        """Whether the same call may be answered otherwise later, on the same server."""
        return self.status in {65, 74, 75} and self.word not in {"noscript", "refused"}


@dataclass(frozen=True)
class Completed:
    """A helper process that ended; a signal's number is negative, as in subprocess."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """Runs the installed helper on one server. Safe to share between threads.

    Each call is bounded by `timeout_seconds` and raises TransportError. A helper that is not installed is no
    error here: its shell ends with 1, 2 or 127 and prints nothing; `install` puts it there, whenever called.
    """

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Completed:
        """Run the helper with these words; `stdin` is its whole input.

        BadReply as soon as it prints more than MOST_REPLY_BYTES.
        """

    def stream(self, words: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float) -> Chunks:
        """Run the helper and yield its output as it comes; the timeout is for the silence between two pieces.

        Closing the iterator early ends the helper process.
        """

    def install(self) -> None:
        """Put the helper where `run` looks for it: whole or not at all."""

    def close(self) -> None:
        """Give up connections; builds go on."""


def check_words(words: Sequence[str]) -> None:
    """Raise ValueError unless every word is valid in any login shell as it stands: no user's text, ever."""
    for word in words:
        if not _WORD.fullmatch(word):
            raise ValueError(f"{word!r} is not a word for a command line")
