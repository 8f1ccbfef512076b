"""Each kind of tree that the build script knows, built for real where its tools are installed."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.execution.script import CHECKOUT_STATUS, SYSTEM_STATUS
from tests.jobs.script_runs import Server, Upstream, build, how, printed
from tests.requirements import require

MAIN_C = "int main(void) { return 0; }\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def server(one_server: Server) -> Server:
    """One shell is enough for what the trees' own tools do."""
    return one_server


def run(path: Path) -> int:
    return subprocess.run([path], check=False).returncode


def test_make(server: Server, upstream: Upstream) -> None:
    require("make")
    files = {"GNUmakefile": "all:\n\t@echo $(MAKEFLAGS) V=$(V)\n", "Cargo.toml": ""}

    ended = build(server, upstream, files, parallel=3, extra_make_args=("V=a b",))

    assert (ended.code, how(ended)) == (0, "a Makefile")
    assert printed(ended)[0].split()[0:1] == ["-j3"]
    assert printed(ended)[0].endswith("V=a b")


def test_cmake(server: Server, upstream: Upstream) -> None:
    require("cmake")
    lists = "cmake_minimum_required(VERSION 3.10)\nproject(x C)\nadd_executable(x main.c)\n"

    ended = build(
        server, upstream, {"CMakeLists.txt": lists, "main.c": MAIN_C, "Makefile": "all:\n\tfalse\n"}
    )

    assert (ended.code, how(ended)) == (0, "a CMake project (CMakeLists.txt)"), ended.log
    assert run(ended.tree / "build/x") == 0


def test_meson(server: Server, upstream: Upstream) -> None:
    require("meson")

    ended = build(
        server, upstream, {"meson.build": "project('x', 'c')\nexecutable('x', 'main.c')\n", "main.c": MAIN_C}
    )

    assert (ended.code, how(ended)) == (0, "a Meson project (meson.build)"), ended.log
    assert run(ended.tree / "build/x") == 0


@pytest.mark.parametrize("script", ["#!/bin/sh\n", ": not executable\n"])
def test_configure(server: Server, upstream: Upstream, script: str) -> None:
    require("make")
    configure = script + "printf 'all:\\n\\t@echo made V=$(V)\\n' >Makefile\n"

    ended = build(server, upstream, {"configure": configure}, extra_make_args=("V=1",))

    assert (ended.code, how(ended)) == (0, "an Autotools project (configure)"), ended.log
    assert printed(ended) == ["made V=1"]


def test_autoreconf(server: Server, upstream: Upstream) -> None:
    require("autoreconf")
    require("make")
    files = {
        "configure.ac": "AC_INIT([x], [1])\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
        "Makefile.in": "all:\n\t@echo made @PACKAGE_NAME@\n",
    }

    ended = build(server, upstream, files)

    assert (ended.code, how(ended)) == (0, "an Autotools project (configure.ac)"), ended.log
    assert printed(ended)[-1] == "made x"


@pytest.mark.parametrize("locked", [True, False])
def test_cargo(server: Server, upstream: Upstream, locked: bool) -> None:
    require("cargo")
    files = {
        "Cargo.toml": '[package]\nname = "x"\nversion = "1.0.0"\nedition = "2021"\n',
        "src/main.rs": "fn main() {}\n",
    }
    if locked:
        files["Cargo.lock"] = 'version = 3\n\n[[package]]\nname = "x"\nversion = "1.0.0"\n'
    _keep_home(server, "CARGO_HOME", "RUSTUP_HOME")

    ended = build(server, upstream, files)

    found = "a Cargo package (Cargo.toml and Cargo.lock)" if locked else "a Cargo package (Cargo.toml)"
    assert (ended.code, how(ended)) == (0, found), ended.log
    assert run(ended.tree / "target/release/x") == 0


def test_go(server: Server, upstream: Upstream) -> None:
    require("go")
    files = {
        "go.mod": "module example.com/x\n\ngo 1.18\n",
        "main.go": "package main\n\nfunc main() {}\n",
        "lib/lib.go": "package lib\n",
    }

    ended = build(server, upstream, files)

    assert (ended.code, how(ended)) == (0, "a Go module (go.mod)"), ended.log
    assert run(ended.tree / "bin/x") == 0


@pytest.mark.parametrize("locked", [True, False])
def test_npm(server: Server, upstream: Upstream, locked: bool) -> None:
    require("npm")
    files = {
        "package.json": '{"name": "x", "version": "1.0.0", "scripts": {"build": "node -p 6*7 >made"}}',
        ".npmrc": "offline=true\nupdate-notifier=false\n",
    }
    if locked:
        packages = '{"": {"name": "x", "version": "1.0.0"}}'
        lock = '{"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": %s}'
        files["package-lock.json"] = lock % packages

    ended = build(server, upstream, files)

    found = "an npm package (package.json and its lock file)" if locked else "an npm package (package.json)"
    assert (ended.code, how(ended)) == (0, found), ended.log
    assert (ended.tree / "made").read_text() == "42\n"


def test_npm_package_without_a_build_script_is_installed(server: Server, upstream: Upstream) -> None:
    require("npm")

    ended = build(
        server, upstream, {"package.json": '{"name": "x", "version": "1.0.0"}', ".npmrc": "offline=true\n"}
    )

    assert ended.code == 0, ended.log


def test_python(server: Server, upstream: Upstream) -> None:
    backend = (
        "import zipfile\n\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'x-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:\n"
        "        wheel.writestr('x.py', 'answer = 42')\n"
        "        about = 'Metadata-Version: 2.1\\nName: x\\nVersion: 1.0\\n'\n"
        "        wheel.writestr('x-1.0.dist-info/METADATA', about)\n"
        "        wheel.writestr('x-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
        "        wheel.writestr('x-1.0.dist-info/RECORD', '')\n"
        "    return name\n"
    )
    table = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    # The interpreter of this test, which surely has pip.
    server.environment["PATH"] = f"{Path(sys.executable).parent}:{server.environment['PATH']}"

    ended = build(server, upstream, {"pyproject.toml": table, "backend.py": backend})

    assert (ended.code, how(ended)) == (0, "a Python project (pyproject.toml or setup.py)"), ended.log
    assert [path.name for path in (ended.tree / "dist").iterdir()] == ["x-1.0-py3-none-any.whl"]


KERNEL = {
    "Kbuild": "",
    "Kconfig": "",
    "scripts/config": '#!/bin/sh\necho "config $*"\n',
    "configs/board.config": "CONFIG_X=y\n",
    "Makefile": ".NOTPARALLEL:\n.PHONY: FORCE\n%: FORCE\n"
    '\t@echo "$@: ARCH=$(ARCH) CROSS_COMPILE=$(CROSS_COMPILE) W=$(W)"\nall: FORCE\nFORCE: ;\nMakefile: ;\n',
}
NATIVE_ARCH = platform.machine() if platform.machine() == "x86_64" else ""
NATIVE = f"ARCH={NATIVE_ARCH} CROSS_COMPILE="
FOREIGN = "riscv64" if platform.machine() != "riscv64" else "aarch64"
CROSS = {
    "riscv64": "ARCH=riscv CROSS_COMPILE=riscv64-linux-gnu-",
    "aarch64": "ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-",
}[FOREIGN]


def add_tool(server: Server, name: str) -> Path:
    """A program of that name on the server, which is only looked for."""
    tools = server.root / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text("#!/bin/sh\n")
    (tools / name).chmod(0o755)
    server.environment["PATH"] = f"{tools}:{server.environment['PATH']}"
    return tools / name


def test_kernel_of_the_servers_own_architecture(server: Server, upstream: Upstream) -> None:
    require("make")

    ended = build(server, upstream, KERNEL)

    assert how(ended) == "a Linux kernel tree (Kbuild, Kconfig, Makefile), configuration defconfig"
    assert printed(ended) == [f"defconfig: {NATIVE} W=", f"all: {NATIVE} W="]


def test_kernel_with_everything_that_build_config_can_say(server: Server, upstream: Upstream) -> None:
    require("make")
    add_tool(server, f"{FOREIGN}-linux-gnu-gcc")

    ended = build(
        server,
        upstream,
        KERNEL,
        architecture=FOREIGN,
        kernel_config="tiny_defconfig",
        extra_make_args=("W=1 '2",),
        enable_modules=True,
        build_dtbs=True,
    )

    assert printed(ended) == [
        f"tiny_defconfig: {CROSS} W=1 '2",
        "config --enable MODULES",
        f"olddefconfig: {CROSS} W=1 '2",
        f"all: {CROSS} W=1 '2",
        f"dtbs: {CROSS} W=1 '2",
    ]


def test_kernel_configured_by_a_file_of_the_tree(server: Server, upstream: Upstream) -> None:
    require("make")

    ended = build(
        server,
        upstream,
        KERNEL,
        kernel_config="configs/board.config",
        enable_modules=False,
        cross_compile="my-",
    )

    assert printed(ended) == [
        f"olddefconfig: {NATIVE} W=",
        "config --disable MODULES",
        f"olddefconfig: {NATIVE} W=",
        f"all: {NATIVE} W=",
    ]
    assert (ended.tree / ".config").read_text() == "CONFIG_X=y\n"


def test_kernel_with_a_fragment_of_the_trees_own_gets_it_over_the_default(
    server: Server, upstream: Upstream
) -> None:
    require("make")

    ended = build(server, upstream, KERNEL, kernel_config="kvm_guest.config")

    assert [line.split(":")[0] for line in printed(ended)] == ["defconfig", "kvm_guest.config", "all"]


def test_kernel_is_configured_before_the_targets_of_extra_make_args_are_built(
    server: Server, upstream: Upstream
) -> None:
    require("make")
    words = ("vmlinux", "W=1", "-k", "kernel/sched/")

    ended = build(
        server, upstream, KERNEL, extra_make_args=words, enable_modules=True, kernel_config="tinyconfig"
    )

    assert printed(ended) == [
        f"tinyconfig: {NATIVE} W=1",
        "config --enable MODULES",
        f"olddefconfig: {NATIVE} W=1",
        *(f"{target}: {NATIVE} W=1" for target in ("vmlinux", "kernel/sched/")),
    ]


@pytest.mark.parametrize("given", [{"extra_make_args": ("O=a b",)}, {"custom_env": {"KBUILD_OUTPUT": "a b"}}])
def test_kernel_made_into_another_folder_is_configured_there(
    server: Server, upstream: Upstream, given: dict[str, Any]
) -> None:
    require("make")

    ended = build(
        server, upstream, KERNEL, kernel_config="configs/board.config", enable_modules=True, **given
    )

    assert (ended.tree / "a b" / ".config").read_text() == "CONFIG_X=y\n"
    assert printed(ended)[1] == "config --file a b/.config --enable MODULES"


def test_kernel_for_another_architecture_with_the_servers_own_tools(
    server: Server, upstream: Upstream
) -> None:
    require("make")
    prefix = str(add_tool(server, "x-gcc")).removesuffix("gcc")

    ended = build(server, upstream, KERNEL, architecture=FOREIGN, cross_compile=prefix)

    assert printed(ended)[-1] == f"all: {CROSS.split()[0]} CROSS_COMPILE={prefix} W="


def test_kernel_for_another_architecture_needs_its_compiler(server: Server, upstream: Upstream) -> None:
    ended = build(server, upstream, KERNEL, architecture=FOREIGN, cross_compile="no-such-")

    assert (ended.code, ended.phases) == (SYSTEM_STATUS, ["checkout"])
    assert ended.last_line == (
        f"--- failed: Building Linux for {FOREIGN} on this server, which is {platform.machine()}, needs"
        " no-such-gcc, which is not installed on it; another compiler can be named by CROSS_COMPILE=, CC= or"
        " LLVM= in extra_make_args."
    )


@pytest.mark.parametrize("given", [{"extra_make_args": ("LLVM=1",)}, {"environment": {"CC": "clang"}}])
def test_kernel_for_another_architecture_takes_a_compiler_that_the_job_names(
    server: Server, upstream: Upstream, given: dict[str, Any]
) -> None:
    require("make")

    ended = build(server, upstream, KERNEL, architecture=FOREIGN, cross_compile="no-such-", **given)

    assert (ended.code, ended.phases) == (0, ["checkout", "building"]), ended.log


def test_kernel_for_little_endian_power_is_not_configured_for_big_endian(
    server: Server, upstream: Upstream
) -> None:
    require("make")
    add_tool(server, "powerpc64le-linux-gnu-gcc")

    ended = build(server, upstream, KERNEL, architecture="ppc64le", kernel_config="defconfig")

    assert how(ended).endswith("configuration ppc64le_defconfig")


@pytest.mark.parametrize(
    "config", ["-f/etc/passwd", "../outside", "/etc/passwd", "a b", "$(id)", "a/../../b", "x/..", "vmlinux"]
)
def test_kernel_config_that_is_no_target_and_no_file_is_refused(
    server: Server, upstream: Upstream, config: str
) -> None:
    ended = build(server, upstream, KERNEL, override={"BB_KERNEL_CONFIG": config})

    assert (ended.code, ended.phases) == (CHECKOUT_STATUS, ["checkout"])
    assert ended.last_line == (
        f"--- failed: kernel_config {config} is neither a file of the tree nor a target of make that configures."
    )


def test_kernel_config_that_asks_questions_is_refused(server: Server, upstream: Upstream) -> None:
    ended = build(server, upstream, KERNEL, kernel_config="menuconfig")

    assert (ended.code, ended.phases) == (CHECKOUT_STATUS, ["checkout"])
    assert ended.last_line == (
        "--- failed: kernel_config menuconfig asks questions, and in a build nobody answers them:"
        " name a file of the tree or a target such as defconfig."
    )


def _keep_home(server: Server, *names: str) -> None:
    """Let tools that live in the account's home be found, though the server has a home of its own."""
    for name in names:
        folder = Path.home() / f".{name.split('_')[0].lower()}"
        if folder.is_dir():
            server.environment[name] = str(folder)
