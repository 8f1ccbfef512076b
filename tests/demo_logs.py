"""What the builds of the demo board print: parts of a log, and how many seconds after the start each came.

It is text alone; demo_jobs.py keeps it as the logs of attempts. The words are the same each time.
"""

import random
from collections.abc import Iterator

Part = tuple[float, str]
"""Seconds since the attempt began, and what came then."""

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
BRANCH = "evil\x1b[2J\u202emain\u202c" + HOSTILE
_SOURCES = (
    *("block/blk-mq", "mm/page_alloc", "fs/ext4/inode", "net/ipv4/tcp_input", "kernel/sched/core"),
    *("drivers/usb/core/hub", "arch/x86/kvm/vmx/vmx", "sound/soc/soc-core", "lib/zstd/compress/zstd_lazy"),
    *("drivers/gpu/drm/amd/display/dc/dc", "drivers/net/ethernet/intel/ice/ice_lib", "crypto/aes_generic"),
)
_COMPILE_ERROR = """\
drivers/net/ethernet/intel/ice/ice_main.c: In function \x1b[1m‘ice_probe’\x1b[0m:
\x1b[1mdrivers/net/ethernet/intel/ice/ice_main.c:5218:9:\x1b[0m \x1b[1;31merror:\x1b[0m implicit declaration of \
function \x1b[1m‘ice_dpll_init_rclk’\x1b[0m; did you mean \x1b[1m‘ice_dpll_init’\x1b[0m? \
[-Werror=implicit-function-declaration]
 5218 |         \x1b[1;31mice_dpll_init_rclk\x1b[0m(pf);
      |         \x1b[1;31m^~~~~~~~~~~~~~~~~~\x1b[0m
      |         \x1b[32mice_dpll_init\x1b[0m
cc1: some warnings being treated as errors
make[7]: *** [scripts/Makefile.build:243: drivers/net/ethernet/intel/ice/ice_main.o] Error 1
make[6]: *** [scripts/Makefile.build:480: drivers/net/ethernet/intel/ice] Error 2
make[6]: *** Waiting for unfinished jobs....
  CC      drivers/net/ethernet/intel/ice/ice_sched.o
  CC      drivers/net/ethernet/intel/ice/ice_base.o
make[5]: *** [scripts/Makefile.build:480: drivers/net/ethernet/intel] Error 2
make[4]: *** [scripts/Makefile.build:480: drivers/net/ethernet] Error 2
make[3]: *** [scripts/Makefile.build:480: drivers/net] Error 2
make[2]: *** [scripts/Makefile.build:480: drivers] Error 2
make[1]: *** [Makefile:1945: .] Error 2
make: *** [Makefile:236: __sub-make] Error 2
--- finished: exit code 2
"""


def begin(*, repository: str, branch: str, commit: str) -> Iterator[Part]:
    """The checkout of any build: half a minute."""
    yield 1, f"--- checkout: {repository}, branch {branch}, commit HEAD\n"
    yield 3, "remote: Enumerating objects: 48213, done.\n"
    yield 22, "Receiving objects: 100% (48213/48213), 31.40 MiB | 1.62 MiB/s, done.\n"
    yield 26, "Resolving deltas: 100% (39107/39107), done.\n"
    yield 27, f"--- commit: {commit[:12]} net: take no packet twice\n"


def kernel(chance: random.Random, *, seconds: float, lines: int) -> Iterator[Part]:
    """A kernel that is configured and compiled for so long, in so many lines; it does not end."""
    yield 28, "--- build: make -j16 defconfig bzImage modules\n::group::make defconfig\n"
    yield (
        30,
        "  HOSTCC  scripts/basic/fixdep\n  HOSTCC  scripts/kconfig/conf.o\n  HOSTLD  scripts/kconfig/conf\n",
    )
    yield 32, "#\n# configuration written to .config\n#\n::endgroup::\n::group::make bzImage modules\n"
    at_once = 40
    for first in range(0, lines, at_once):
        text = "".join(_compiled(chance, number) for number in range(first, min(lines, first + at_once)))
        yield 33 + (seconds - 33) * first / lines, text


def compile_error(*, seconds: float) -> Iterator[Part]:
    """The end of a kernel that does not compile."""
    yield seconds, _COMPILE_ERROR


def firmware() -> Iterator[Part]:
    """A small firmware that is built, tested and packed."""
    yield (
        28,
        "--- build: cmake --build . && ctest\n::group::Configure\n-- The C compiler identification is GNU 14.2.0\n",
    )
    yield (
        30,
        "-- Configuring done (1.8s)\n-- Build files have been written to: build\n::endgroup::\n::group::Compile\n",
    )
    for number in range(1, 241):
        if number % 20 == 0:
            text = "".join(_object(one) for one in range(number - 19, number + 1))
            yield 32 + number * 1.5, text
    yield 396, "src/modem/at.c:88:14: warning: unused variable ‘timeout’ [-Wunused-variable]\n"
    yield 397, "[100%] Linking C executable gateway.elf\n::endgroup::\n::group::Test\n"
    yield 398, "Test project build\n      Start  1: modem\n"
    yield (
        431,
        " 1/2 Test  #1: modem ............................   Passed   32.81 sec\n      Start  2: update\n",
    )
    yield 452, " 2/2 Test  #2: update ...........................   Passed   21.04 sec\n"
    yield (
        452.5,
        "\x1b[32m100% tests passed\x1b[0m, 0 tests failed out of 2\n::endgroup::\n--- finished: exit code 0\n",
    )


def hostile() -> Iterator[Part]:
    """Everything that a build may print to spoil a page: markup, escapes, other directions, no end of a line."""
    yield 33, "--- build: ./evil\n"
    yield 36, f"{HOSTILE}\n\x1b[2J\x1b[H\x1b]0;another title\x07the screen was wiped\n"
    yield (
        3,
        "abc\rxyz\nover\x08\x08ridden\n\x1b[31mred without an end\n\u202ebackwards\u202c \u200fand again\n",
    )
    yield 42, f"::group::{HOSTILE}\n" + "endless" * 2000 + "\n\x00\x01\x02\x7f\ufffd\n::endgroup::\n"
    yield 45, f"evil.c:1:1: error: {HOSTILE} \u202eerror\n--- finished: exit code 1\n"


def _compiled(chance: random.Random, number: int) -> str:
    source = chance.choice(_SOURCES)
    if number % 47 == 46:
        return f"  \x1b[36mLD [M]\x1b[0m  {source}_{number}.ko\n"
    return f"  {'AR' if number % 29 == 28 else 'CC'}      {source}_{number}.o\n"


def _object(number: int) -> str:
    return f"[{number * 100 // 241:3d}%] Building C object src/CMakeFiles/gateway.dir/unit_{number}.c.o\n"
