"""Real sshd servers on loopback for tests: each with its own keys, home and port, gone with all that it ran.

All share the account of the tests; `SetEnv HOME` gives each a home of its own. It asserts nothing itself, and is
not in charge of what happens when sshd is missing (requirements.py).
"""

import contextlib
import getpass
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Self

import psutil

from tests.waiting import wait_for

HOST = "127.0.0.1"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_START_TRIES = 5


def sshd_program() -> str | None:
    """The absolute path of sshd, without which it does not start; None when it is not installed."""
    return shutil.which("sshd") or shutil.which("sshd", path=os.pathsep.join(_SBIN))


def calm_port() -> int:
    """A free port below those that outgoing connections get: nobody takes it while its server is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> str:
    """A new key pair at `path` and `path`.pub by ssh-keygen; its public line."""
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", path.name, "-f", str(path)],
        check=True,
    )
    return path.with_name(f"{path.name}.pub").read_text().strip()


class SshServer:
    """One sshd. `with SshServer() as server:` starts it and removes everything at the end.

    host_keys: types of its host keys, by ssh-keygen's names (`ed25519`, `ecdsa`, `rsa`).
    settings: more lines for sshd_config, such as {"MaxSessions": "1"}; its defaults are else a user's.
    environment: more variables for its sessions besides HOME.
    client_key: the type of the key pair that may log in; passphrase: what its private half is encrypted with.
    authorized: more public lines that may log in.
    login_shell: what /etc/passwd says of the account for this server alone; needs root. Else it is as it is.
    account: another account of this machine to log in to, as root; else that of the tests.
    """

    def __init__(
        self,
        *,
        host_keys: Sequence[str] = ("ed25519",),
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        client_key: str = "ed25519",
        passphrase: str = "",
        authorized: Sequence[str] = (),
        login_shell: str = "",
        account: str = "",
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="buildboard-ssh-")).resolve()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.hostname = HOST
        self.port = calm_port()
        self.username = account or getpass.getuser()
        if account:  # it reads its authorized_keys, and writes to its home
            self.folder.chmod(0o755)
            shutil.chown(self.home, account)
        self.host_key_types = tuple(host_keys)
        self._settings = dict(settings or {})
        self._environment = {**(environment or {}), "HOME": str(self.home)}
        self._login_shell = login_shell
        self._process: subprocess.Popen[bytes] | None = None
        for kind in self.host_key_types:
            make_key(self.folder / f"host_{kind}", kind=kind)
        self.public_key = make_key(self.folder / "client", kind=client_key, passphrase=passphrase)
        self.authorize(self.public_key, *authorized)

    # ---- what a client needs to know --------------------------------------------------------------------
    @property
    def private_key(self) -> str:
        """The text of the private key that may log in."""
        return (self.folder / "client").read_text()

    @property
    def private_key_path(self) -> Path:
        """The same as a file, for `ssh -i`."""
        return self.folder / "client"

    @property
    def host_key_line(self) -> str:
        """`TYPE BASE64` of the first host key."""
        return self.host_key_lines[0]

    @property
    def host_key_lines(self) -> list[str]:
        """The same of every host key, in their order."""
        texts = [(self.folder / f"host_{kind}.pub").read_text() for kind in self.host_key_types]
        return [" ".join(text.split()[:2]) for text in texts]

    @property
    def row_fields(self) -> dict[str, object]:
        """The address and the pin as columns of a BuildServer; the private key is not among them."""
        return {
            "transport": "ssh",
            "hostname": self.hostname,
            "ssh_port": self.port,
            "ssh_username": self.username,
            "host_key": self.host_key_line,
            "public_key": self.public_key,
        }

    def ssh_command(self, *words: str) -> list[str]:
        """`ssh` to this server, its host key pinned, nothing of the account's own configuration used."""
        known = self.folder / "known_hosts"
        known.write_text("".join(f"[{HOST}]:{self.port} {line}\n" for line in self.host_key_lines))
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={known}",
            "GlobalKnownHostsFile=none",
        ]
        flags = [flag for option in options for flag in ("-o", option)]
        address = ["-i", str(self.private_key_path), "-p", str(self.port), f"{self.username}@{HOST}"]
        return ["ssh", "-F", "none", *flags, *address, *words]

    # ---- changes that take effect at once, or at the next start -----------------------------------------
    def authorize(self, *public_keys: str) -> None:
        """Let these keys in, and no others."""
        (self.folder / "authorized_keys").write_text("".join(f"{line}\n" for line in public_keys))

    def change_host_key(self) -> str:
        """Give it another first host key, which it has from its next start on; the new line."""
        path = self.folder / f"host_{self.host_key_types[0]}"
        path.unlink()
        path.with_name(f"{path.name}.pub").unlink()
        make_key(path, kind=self.host_key_types[0])
        return self.host_key_line

    def set(self, name: str, value: str) -> None:
        """A line of sshd_config, from the next start on."""
        self._settings[name] = value

    # ---- life -------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until it greets; the port stays the same over restarts."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        first = self._process is None
        for _ in range(_START_TRIES):
            self._launch()
            if wait_for(self._greets_or_ended, what=self.auth_log) and self._greets():
                return self
            self._process = None
            if first and "Address already in use" in self.auth_log():
                self.port = calm_port()
        raise RuntimeError(f"sshd did not start: {self.auth_log()[-2000:]}")

    def kill_listener(self, number: int = signal.SIGKILL) -> None:
        """End the process that accepts connections; sessions go on."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(10)

    def kill_all(self) -> None:
        """End the listener and every session, as a crash of the machine's sshd does; builds go on."""
        self.kill_listener()
        self.kill_sessions()

    def kill_sessions(self) -> None:
        """End every session; the listener goes on."""
        pids = self.sessions()
        _signal(pids, signal.SIGKILL)
        wait_for(lambda: not set(pids) & set(self.sessions()))

    def restart(self) -> None:
        """Another listener on the same port; sessions go on."""
        self.kill_listener()
        self.start()

    def stop_sessions(self) -> list[int]:
        """SIGSTOP to every session; their pids."""
        pids = self.sessions()
        _signal(pids, signal.SIGSTOP)
        return pids

    def continue_sessions(self) -> None:
        """SIGCONT to every session."""
        _signal(self.sessions(), signal.SIGCONT)

    def sessions(self) -> list[int]:
        """Pids of the processes that serve a connection now."""
        listener = self._process.pid if self._process is not None else None
        found = {
            connection.pid
            for connection in psutil.net_connections(kind="tcp4")
            if connection.pid not in {None, listener}
            and connection.status != psutil.CONN_LISTEN
            and connection.laddr == (HOST, self.port)
        }
        return sorted(pid for pid in found if pid is not None)

    def kill_processes(self) -> None:
        """End everything that was started by way of its home, and every session; with the listener: a power cut.

        None of them notices the end of another.
        """
        _signal({*self.sessions(), *self.processes()}, signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while pids := {*self.sessions(), *self.processes()}:
            _signal(pids, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"still running after the server's end: {sorted(pids)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, every session and every process under its home, and remove its folder."""
        self.kill_listener()
        self.kill_processes()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what it did ------------------------------------------------------------------------------------
    def auth_log(self) -> str:
        """All that sshd logged, over all starts: connections, keys accepted and refused."""
        path = self.folder / "sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def processes(self) -> list[int]:
        """Living processes that were started by way of its home: helpers, builds and what they left."""
        needle = str(self.home).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and needle in (path / "environ").read_bytes():
                    found.append(int(path.name))
        return sorted(set(found) - {os.getpid()})

    # ---- inside -----------------------------------------------------------------------------------------
    def _launch(self) -> None:
        program = sshd_program()
        assert program is not None, "sshd is not installed"
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._with_login_shell(), program, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _with_login_shell(self) -> list[str]:
        """What gives a command another /etc/passwd than the machine's."""
        if not self._login_shell:
            return []
        path = self.folder / "passwd"
        entry = re.compile(rf"^({re.escape(self.username)}:.*:).*$", re.MULTILINE)
        path.write_text(entry.sub(rf"\g<1>{self._login_shell}", Path("/etc/passwd").read_text()))
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', str(path)]

    def _config(self) -> str:
        """The first line of a name counts, so the caller's come first; all variables are in one SetEnv."""
        variables = " ".join(f'{name}="{value}"' for name, value in self._environment.items())
        lines = [f"{name} {value}" for name, value in self._settings.items()]
        lines += [f"HostKey {self.folder}/host_{kind}" for kind in self.host_key_types]
        lines += [
            f"Port {self.port}",
            f"ListenAddress {HOST}",
            f"PidFile {self.folder}/sshd.pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PubkeyAuthentication yes",
            "PermitRootLogin prohibit-password",
            "UseDNS no",
            "PrintMotd no",
            "LogLevel VERBOSE",
            "MaxStartups 100:30:200",
            "Subsystem sftp internal-sftp",
            f"SetEnv {variables}",
        ]
        return "\n".join(lines) + "\n" + _penalties()

    def _greets_or_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self._greets()

    def _greets(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 2) as probe:
            probe.settimeout(2)
            return probe.recv(4) == b"SSH-"
        return False


@lru_cache(maxsize=1)
def _penalties() -> str:
    """Wrong logins are what tests do: from 9.8 on sshd would lock the tests out; before, it knows no such line."""
    program = sshd_program()
    assert program is not None
    told = subprocess.run(
        [program, "-T", "-f", "/dev/null", "-o", "PerSourcePenalties=no"], capture_output=True, check=False
    )
    return "" if b"bad configuration option" in told.stderr.lower() else "PerSourcePenalties no\n"


def _signal(pids: Sequence[int] | set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def ssh_fleet(count: int) -> Iterator[list[SshServer]]:
    """So many servers, each its own, gone at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(SshServer()) for _ in range(count)]
