"""What a probe says becomes facts, sizes and tools; nonsense, escapes and floods are not believed."""

from pathlib import Path

import pytest

from servers.probe import (
    MAX_FACTS,
    MAX_VALUE,
    find_tools,
    is_full,
    measure,
    parse_facts,
    target_of,
    troubles,
    version_of,
)
from tests.servers.durable import Durable

NOW = 1_800_000_000.0
WELL = {"depth": "light", "util.git": "1", "os": "Linux", "boot_id": "b", "time": "1800000002"}


def tools(facts: dict[str, str]) -> list[tuple[str, str, str, str]]:
    found = find_tools({"arch": "x86_64"} | facts)
    return sorted((tool.name, tool.target, tool.version, tool.path) for tool in found)


def test_lines_become_facts_and_the_first_of_a_key_counts() -> None:
    text = "os\tLinux\n\nno tab\nbad key!\tx\narch\tx86_64\nos\tPlan9\nempty\t\nkey\ta\tb\n"

    assert parse_facts(text) == {"os": "Linux", "arch": "x86_64", "empty": "", "key": "a b"}


def test_values_are_printable_and_short_and_few() -> None:
    text = "a\t\x1b[31mred\x1b[0m\xe9<b>\n" + f"long\t{'x' * 10_000}\n"
    flood = "".join(f"k{number}\tv\n" for number in range(MAX_FACTS + 50))

    facts = parse_facts(text)

    assert facts["a"] == "[31mred [0m <b>"
    assert len(facts["long"]) == MAX_VALUE
    assert len(parse_facts(flood)) == MAX_FACTS


def test_cross_compilers_are_tools_for_their_targets() -> None:
    line = "gcc (Debian 12.2.0-14) 12.2.0"
    seen = {
        "tool.gcc": f"/usr/bin/gcc|{line}",
        "tool.gcc-11": "/usr/bin/gcc-11|gcc-11 (Debian 11.3.0-1) 11.3.0",
        "cross.aarch64-linux-gnu-gcc": f"/usr/bin/aarch64-linux-gnu-gcc|{line}",
        "cross.aarch64-linux-gnu-g++-12": f"/usr/bin/aarch64-linux-gnu-g++-12|{line}",
        "cross.x86_64-linux-gnu-gcc": f"/usr/bin/x86_64-linux-gnu-gcc|{line}",
        "cross.aarch64-linux-android-gcc": f"/usr/bin/a|{line}",
        "cross.gcc": f"/usr/bin/b|{line}",
        "tool.relative": "bin/x|1.0",
        "tool.": "/usr/bin/c|1.0",
    }

    assert tools(seen) == [
        ("g++", "aarch64", "12.2.0", "/usr/bin/aarch64-linux-gnu-g++-12"),
        ("gcc", "", "11.3.0", "/usr/bin/gcc-11"),
        ("gcc", "", "12.2.0", "/usr/bin/gcc"),
        ("gcc", "aarch64", "12.2.0", "/usr/bin/aarch64-linux-gnu-gcc"),
    ]


def test_targets_of_clang_and_rust_count_where_a_linker_and_a_c_library_are() -> None:
    seen = {
        "tool.clang": "/usr/bin/clang|Debian clang version 14.0.6",
        "targets.clang": "aarch64 x86 x86-64 systemz riscv64 wasm32",
        "tool.rustc": "/usr/bin/rustc|rustc 1.79.0 (1 2024)",
        "targets.rustc": "aarch64-unknown-linux-gnu x86_64-unknown-linux-gnu thumbv7m-none-eabi",
    }
    gcc = {
        "cross.aarch64-linux-gnu-gcc": "/usr/bin/x|gcc 12.2.0",
        "cross.s390x-linux-gnu-gcc": "/usr/bin/y|gcc 12.2.0",
    }

    alone = tools(seen)
    with_gcc = tools(seen | gcc)

    assert [(name, target) for name, target, _, _ in alone] == [("clang", ""), ("rustc", "")]
    assert [(name, target) for name, target, _, _ in with_gcc if target and name != "gcc"] == [
        ("clang", "aarch64"),
        ("clang", "s390x"),
        ("rustc", "aarch64"),
    ]
    assert tools({"targets.clang": "aarch64"} | gcc) == tools(gcc)


@pytest.mark.parametrize(
    ("triple", "architecture"),
    [
        ("aarch64-linux-gnu", "aarch64"),
        ("arm-linux-gnueabihf", "armv7"),
        ("arm-linux-gnueabi", "armel"),
        ("armv7-unknown-linux-musleabihf", "armv7"),
        ("powerpc64le-linux-gnu", "ppc64le"),
        ("i586-pc-linux-gnu", "i686"),
        ("mips64el-linux-gnuabi64", "mips64el"),
        ("riscv64gc-unknown-linux-gnu", "riscv64"),
        ("aarch64-buildroot-linux-uclibc", "aarch64"),
        ("x86_64-linux-gnux32", ""),
        ("x86_64-w64-mingw32", ""),
        ("aarch64-linux-android", ""),
        ("arm-none-eabi", ""),
        ("c89", ""),
        ("", ""),
    ],
)
def test_the_architecture_of_a_triple(triple: str, architecture: str) -> None:
    assert target_of(triple) == architecture


def test_a_container_has_what_it_may_use() -> None:
    facts = {
        "cores": "64",
        "load": "1.0 1 1",
        "cgroup.cpu_max": "200000 100000",
        "cgroup.memory_max": str(2 << 30),
        "mem.MemTotal_kb": str(64 << 20),
        "mem.MemAvailable_kb": str(1 << 20),
    }

    seen = measure(facts, now=NOW)
    free = measure(facts | {"cgroup.cpu_max": "max 100000", "cgroup.memory_max": "max"}, now=NOW)

    assert (seen.cores, seen.cpu_percent, seen.memory_mb, seen.memory_percent) == (2, 50.0, 2048, 50.0)
    assert (free.cores, free.memory_mb) == (64, 65536)


def test_the_disk_is_as_full_as_df_says() -> None:
    facts = {"disk.total_kb": "1000", "disk.used_kb": "600", "disk.available_kb": "300"}

    assert measure(facts, now=NOW).storage_percent == 66.7


def test_files_are_counted_only_where_their_number_is_fixed() -> None:
    counted = measure({"disk.inodes_free": "10", "disk.inodes_total": "1000000"}, now=NOW)
    not_counted = measure({"disk.inodes_free": "0", "disk.inodes_total": "0"}, now=NOW)

    assert (counted.free_inodes, not_counted.free_inodes) == (10, None)


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("some avg10=1.00 avg60=12.50 avg300=0.00 total=123", 12.5),
        ("some avg10=1.00 avg60=400.00 avg300=0.00 total=123", 100.0),
        ("full avg10=1.00 avg60=12.50 avg300=0.00 total=123", None),
        ("some avg60=x", None),
        ("", None),
    ],
)
def test_stalls_are_those_of_a_minute_where_the_kernel_tells_them(line: str, percent: float | None) -> None:
    seen = measure({"psi.memory": line, "psi.io": line}, now=NOW)

    assert (seen.memory_stall_percent, seen.disk_stall_percent) == (percent, percent)


def test_load_is_told_for_each_core_also_past_all_of_them() -> None:
    seen = measure({"cores": "4", "load": "22.00 1.00 1.00"}, now=NOW)

    assert (seen.load_per_core, seen.cpu_percent) == (5.5, 100.0)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, []),
        ({"boot_id": ""}, ["/proc"]),
        ({"os": "", "util.git": "", "boot_id": ""}, ["PATH in its environment"]),
    ],
)
def test_what_makes_a_server_unwell(facts: dict[str, str], words: list[str]) -> None:
    all_facts = WELL | facts

    found = troubles(all_facts)

    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_a_server_without_git_is_unwell() -> None:
    facts = {key: value for key, value in WELL.items() if key != "util.git"}

    assert ["git" in sentence for sentence in troubles(facts)] == [True]


# ---- the script itself ------------------------------------------------------------------------------------


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_every_shell_gives_the_same_light_probe(durable_any_shell: Durable) -> None:
    facts = durable_any_shell.client.probe(tools=False)

    assert facts["depth"] == "light"
    assert not is_full(facts)
    assert {
        "arch",
        "cores",
        "boot_id",
        "disk.available_kb",
        "disk.inodes_free",
        "git",
        "util.git",
    } <= facts.keys()
    assert [key for key in facts if key.startswith(("tool.", "cross.", "targets."))] == []
    seen = measure(facts, now=NOW)
    assert None not in (seen.cores, seen.memory_mb, seen.storage_gb, seen.free_inodes, seen.storage_percent)


def test_a_full_probe_finds_what_the_servers_own_path_has(durable_any_shell: Durable, tmp_path: Path) -> None:
    program(tmp_path, "aarch64-linux-gnu-gcc", "echo 'aarch64-linux-gnu-gcc (Own) 99.1.0'")
    program(tmp_path, "gcc-77", "echo 'gcc-77 (Own) 77.2.0'")
    program(tmp_path, "mvn", r"printf '\033[1mApache Maven 88.8.8\033[m\nmore\n'")
    program(tmp_path, "meson", "sleep 60 & sleep 60")
    program(tmp_path, "x;y-linux-z-gcc", "touch /tmp/never")

    facts = durable_any_shell.client.probe(environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    assert is_full(facts)
    assert (
        facts["cross.aarch64-linux-gnu-gcc"]
        == f"{tmp_path}/aarch64-linux-gnu-gcc|aarch64-linux-gnu-gcc (Own) 99.1.0"
    )
    assert facts["tool.gcc-77"] == f"{tmp_path}/gcc-77|gcc-77 (Own) 77.2.0"
    assert facts["tool.mvn"] == f"{tmp_path}/mvn|Apache Maven 88.8.8"
    assert facts["tool.meson"] == f"{tmp_path}/meson|"
    assert not any(";" in key for key in facts)


def test_the_version_is_the_last_word_that_looks_like_one() -> None:
    assert version_of('openjdk version "17.0.15" 2025-04-15') == "17.0.15"
