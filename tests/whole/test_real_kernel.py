"""Real input: Debian's Linux kernel source, configured and compiled through the API as a kind of tree.

To stay within minutes it goes without the sources of drivers, file systems, network and other processors, though
with all of Kconfig and Kbuild. Three folders are built of the kernel: some of its objects, and the vDSO, which is
linked. With `vmlinux` for GOALS and nothing left out it builds a whole one, which takes a minute and a half more.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_sources import as_bare_repository, linux_source
from tests.requirements import require
from tests.whole_board import WholeBoard

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MINUTES = 400.0
LEFT_OUT = re.compile(
    r"(arch/(?!x86/)|crypto/|drivers/|fs/|net/|samples/|sound/|tools/perf/|include/dt-bindings/).*\.[chS]"
    r"|(Documentation|tools/testing)/.*\.[a-z]+|.*\.dtsi?"
)
GOALS = ["init/", "kernel/sched/", "arch/x86/entry/vdso/"]
NEEDED = ("x86_64", "apt-get", "dpkg-deb", "gcc", "make", "flex", "bison", "bc", "perl", "libelf")
ELF = b"\x7fELF"
MACHINE = slice(18, 20)
X86_64 = (62).to_bytes(2, "little")
CLASS_64 = 2


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WholeBoard]:
    with WholeBoard(tmp_path).running() as board:
        yield board
    shutil.rmtree(tmp_path)  # a gigabyte, which pytest would keep


def test_linux_kernel_is_configured_and_compiled(board: WholeBoard, tmp_path: Path) -> None:
    for tool in NEEDED:
        require(tool)
    repository = as_bare_repository(linux_source(tmp_path / "source"), tmp_path / "linux", without=LEFT_OUT)
    words = ["V=1", "KCFLAGS=-w", *GOALS]
    wanted = [".config", "init/main.o", "kernel/sched/core.o", "arch/x86/entry/vdso/vdso64.so"]

    job_id = board.submit(
        repository,
        build_config={"kernel_config": "tinyconfig", "enable_modules": True, "extra_make_args": words},
        artifact_paths=wanted,
    )
    job = board.wait_until_finished(job_id, seconds=MINUTES)

    log = board.log(job_id).decode()
    assert (job["status"], job["exit_code"]) == ("completed", 0), log[-3000:]
    assert "(Kbuild, Kconfig, Makefile), configuration tinyconfig\n" in log
    (compiled,) = [line for line in log.splitlines() if " -c -o init/main.o init/main.c" in line]
    assert compiled.split()[0] == "gcc"
    assert {"-m64", "-Os", "-w", "-D__KERNEL__"} <= set(compiled.split())
    files = {
        artifact["path"]: board.call("GET", artifact["url"].removeprefix("/api/v1"))
        for artifact in board.call("GET", f"/infrastructure/build-jobs/{job_id}/artifacts")
    }
    assert sorted(files) == sorted(wanted)
    config = files.pop(".config").decode().splitlines()
    assert {"CONFIG_64BIT=y", "CONFIG_MODULES=y", "CONFIG_CC_OPTIMIZE_FOR_SIZE=y"} <= set(config)
    assert "# CONFIG_NET is not set" in config  # which tinyconfig leaves out and defconfig has
    assert {(content[:4], content[4], content[MACHINE]) for content in files.values()} == {
        (ELF, CLASS_64, X86_64)
    }
