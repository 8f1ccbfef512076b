"""Runs the build script with the helper's real records, beside real repositories. It asserts nothing."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from jobs.execution.script import BuildSpec, render
from servers.transport import HELPER_TEXT

SHELLS: dict[str, tuple[str, ...]] = {
    "dash": ("dash",),
    "busybox": ("busybox", "ash"),
    "bash": ("bash", "--posix"),
}
HOSTILE_URLS = [
    "--upload-pack=touch PWN;git-upload-pack",
    "-utouch PWN",
    "ext::sh -c touch% PWN",
    "ssh://-oProxyCommand=touch PWN/x",
    "-oProxyCommand=touch:x",
    "fd::17/x",
    "https://user\n@host/x",
    "file:///etc/../x\n",
    "relative/path",
    "ftp://host/x",
]
_IDENTITY = {"GIT_AUTHOR_NAME": "A U Thor", "GIT_AUTHOR_EMAIL": "author@example.com"}
_COMMITTER = {"GIT_COMMITTER_NAME": "A U Thor", "GIT_COMMITTER_EMAIL": "author@example.com"}


@dataclass(frozen=True)
class Ended:
    """How one run of the script ended."""

    code: int
    log: str
    phases: list[str]
    commit: str
    tree: Path

    @property
    def last_line(self) -> str:
        return self.log.rstrip("\n").rpartition("\n")[2]


class Upstream:
    """A repository that builds are made from."""

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", f"--object-format={object_format}")
        self.git("config", "gc.auto", "0")

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *words: str) -> str:
        """Run git in it; its output without the last newline."""
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **_IDENTITY, **_COMMITTER}
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.rstrip("\n")

    def commit(self, files: Mapping[str, str] | None = None, *, subject: str = "Change") -> str:
        """Write these files (those that begin with `#!` executable) and commit all; the id."""
        for name, text in (files or {"file": str(uuid4())}).items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")


class Server:
    """A build server's folder, as the helper lays it out."""

    def __init__(self, root: Path, *, shell: Sequence[str] = ("sh",)) -> None:
        self.root = root
        self.shell = tuple(shell)
        self.home = root / "home"
        self.home.mkdir(parents=True)
        self.helper = root / "helper.sh"
        self.helper.write_bytes(HELPER_TEXT)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "BUILDBOARD_HOME": str(root),
            "BUILDBOARD_HELPER": str(self.helper),
        }

    @property
    def cache(self) -> Path:
        return self.root / "cache" / "git"

    def mirrors(self) -> list[Path]:
        return sorted(self.cache.glob("*.git"))

    def start(
        self, spec: BuildSpec, *, override: Mapping[str, str] | None = None
    ) -> tuple[Path, subprocess.Popen[str]]:
        """Begin a run: its folder and process, the leader of a session. `override` passes by all checks."""
        folder = self.root / "jobs" / str(uuid4())
        (folder / "ws").mkdir(parents=True)
        (folder / "log").touch()
        rendered = render(spec)
        (folder / "script").write_bytes(rendered.script)
        process = subprocess.Popen(
            [*self.shell, "../script"],
            cwd=folder / "ws",
            env={
                **self.environment,
                **rendered.environment,
                **(override or {}),
                "BUILDBOARD_ATTEMPT": folder.name,
                "BUILDBOARD_JOB_DIR": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )
        return folder, process

    def finish(self, started: tuple[Path, subprocess.Popen[str]]) -> Ended:
        """Wait for the end of a run."""
        folder, process = started
        log, _ = process.communicate(timeout=120)
        phases, commit = folder / "phase", folder / "commit"
        return Ended(
            code=process.returncode,
            log=log,
            phases=[line.split()[0] for line in phases.read_text().splitlines()] if phases.exists() else [],
            commit=commit.read_text().strip() if commit.exists() else "",
            tree=folder / "ws" / "src",
        )

    def run(self, spec: BuildSpec, *, override: Mapping[str, str] | None = None) -> Ended:
        """One run from start to end."""
        return self.finish(self.start(spec, override=override))

    def remove(self, ended: Ended) -> None:
        """Remove an attempt's folder, as the helper does."""
        shutil.rmtree(ended.tree.parents[1])


def make_spec(upstream: Upstream, **values: object) -> BuildSpec:
    """A job for the head of this repository's main branch, on this machine."""
    given: dict[str, object] = {
        "job_id": "job-1",
        "repository": upstream.url,
        "architecture": platform.machine(),
        "local_repositories": True,
    }
    return BuildSpec(**{**given, **values})  # type: ignore[arg-type]  # plain values by name


def build(
    server: Server,
    upstream: Upstream,
    files: Mapping[str, str],
    *,
    override: Mapping[str, str] | None = None,
    **values: object,
) -> Ended:
    """Commit these files and build them."""
    upstream.commit({"README": "words\n", **files})
    return server.run(make_spec(upstream, **values), override=override)


def carried(variables: Mapping[str, str]) -> dict[str, str]:
    """What brings these variables to a build past all checks."""
    numbered = enumerate(variables.items(), start=1)
    pairs = {f"BB_ENV_{number}": f"{name}={value}" for number, (name, value) in numbered}
    return {"BB_ENV_COUNT": str(len(variables)), **pairs}


def how(ended: Ended) -> str:
    """How the build was found."""
    return next(line for line in ended.log.splitlines() if line.startswith("--- build: "))[11:]


def printed(ended: Ended) -> list[str]:
    """What the build printed: what follows the command, up to the last line."""
    lines = ended.log.splitlines()
    start = lines.index(f"--- build: {how(ended)}") + 1
    return [line for line in lines[start:-1] if not line.startswith("    ")]
