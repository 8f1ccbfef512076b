"""Real sources for tests, as Debian publishes them, by the package sources of the machine; as git repositories.

It asserts nothing, and keeps everything in the folder that it is given.
"""

import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path


def debian_source(name: str, folder: Path) -> Path:
    """The upstream archive of a Debian source package."""
    apt = _updated_apt(folder, kind="deb-src")
    subprocess.run(["apt-get", *apt, "source", "--download-only", name], check=True, cwd=folder)
    return next(folder.glob(f"{name}_*.orig.tar.*z"))


def linux_source(folder: Path) -> Path:
    """The archive of Debian's own Linux kernel source, some 140 MB."""
    apt = _updated_apt(folder, kind="deb")
    asked = ["apt-cache", *apt, "depends", "--important", "linux-source"]
    answer = subprocess.run(asked, check=True, cwd=folder, capture_output=True, text=True).stdout
    package = answer.partition("Depends: ")[2].split()[0]
    subprocess.run(["apt-get", *apt, "download", package], check=True, cwd=folder)
    (file,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", file, folder / "unpacked"], check=True)
    file.unlink()
    return next((folder / "unpacked").glob("usr/src/linux-source-*.tar.*"))


def as_repository(archive: Path, folder: Path, *, without: Sequence[str] = ()) -> Path:
    """Unpack a source archive, less what these patterns of tar's name, into a git repository with one commit."""
    folder.mkdir()
    if without:
        left_out = [f"--exclude={pattern}" for pattern in without]
        subprocess.run(["tar", "-xf", archive, "-C", folder, "--wildcards", *left_out], check=True)
    else:
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    # Nothing is packed: that takes longer than all the rest.
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    git += ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.looseCompression=0"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A", "-f"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "as published"], check=True)
    return root


def _updated_apt(folder: Path, *, kind: str) -> list[str]:
    """Options for apt: lists of its own, just fetched, of the machine's package sources for `kind`."""
    folder.mkdir()
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "parts").mkdir()
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.suffix == ".sources":
            text = path.read_text().replace("Types: deb\n", f"Types: {kind}\n")
        elif path.suffix == ".list" and path.exists():
            lines = [
                line.split(maxsplit=1) for line in path.read_text().splitlines() if line.startswith("deb ")
            ]
            text = "".join(f"{kind} {rest}\n" for _, rest in lines)
        else:
            continue
        (folder / "parts" / path.name).write_text(text)
    options = [
        f"Dir::Etc::SourceParts={folder / 'parts'}",
        "Dir::Etc::SourceList=/dev/null",
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder}",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
    ]
    apt = ["-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run(["apt-get", *apt, "update"], check=True, cwd=folder)
    return apt
