"""Real sources for tests, as Debian publishes them, by the package sources of the machine; as git repositories.

It asserts nothing, and keeps everything in the folder that it is given.
"""

import re
import subprocess
import tarfile
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


def as_repository(archive: Path, folder: Path) -> Path:
    """Unpack a source archive into a git repository with one commit."""
    folder.mkdir()
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A", "-f"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "as published"], check=True)
    return root


def as_bare_repository(archive: Path, folder: Path, *, without: re.Pattern[str]) -> Path:
    """A large source archive, less the paths that `without` matches, as one commit; no file of it is unpacked."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder], check=True)
    command = ["git", "-C", str(folder), "-c", "core.compression=0", "fast-import", "--quiet"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as importer,
        tarfile.open(archive, "r|*") as source,
    ):
        assert importer.stdin is not None
        message = b"as published"
        importer.stdin.write(b"commit refs/heads/main\ncommitter t <t@example.org> 1000000000 +0000\n")
        importer.stdin.write(b"data %d\n%s\n" % (len(message), message))
        for member in source:
            path = member.name.partition("/")[2]
            if without.fullmatch(path):
                continue
            if member.issym():
                mode, content = b"120000", member.linkname.encode()
            elif (file := source.extractfile(member)) is not None:
                mode, content = b"100755" if member.mode & 0o100 else b"100644", file.read()
            else:
                continue
            importer.stdin.write(b"M %s inline %s\ndata %d\n" % (mode, path.encode(), len(content)))
            importer.stdin.write(content + b"\n")
    assert importer.returncode == 0, "git fast-import failed"
    return folder


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
