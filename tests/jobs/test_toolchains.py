"""What a job may ask for as a toolchain, and which tools are that."""

import pytest

from jobs.queue.toolchains import fits, judge_tools, read_wanted
from servers.fleet import ToolchainFacts
from tests.jobs.fleets import facts

GCC = ToolchainFacts("gcc", "12.2.0", program="gcc-12")


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        ("gcc", True),
        ("gcc-12", True),
        ("gcc-12.2", True),
        ("gcc-12.2.0", True),
        ("gcc-1", False),
        ("gcc-12.20", False),
        ("gcc-12.2.0.1", False),
        ("gcc-13", False),
        ("gc", False),
        ("gcc>=12", True),
        ("gcc>=12.2.0", True),
        ("gcc>=9.5", True),
        ("gcc >= 9", True),
        ("gcc>=12.10", False),
        ("gcc>=13", False),
        ("clang>=1", False),
        ("gcc>=", False),
    ],
)
def test_a_toolchain_fits_by_name_and_by_whole_parts_of_its_version(text: str, fit: bool) -> None:
    assert fits(GCC, read_wanted(text)) is fit


@pytest.mark.parametrize("text", ["gcc-arm", "gcc-arm-9", "gcc-arm>=9", "arm-none-eabi-gcc"])
def test_a_name_may_have_dashes_itself_and_may_be_the_programs(text: str) -> None:
    tool = ToolchainFacts("gcc-arm", "9.1", "armv7", "arm-none-eabi-gcc")

    assert fits(tool, read_wanted(text))


def test_a_tool_whose_version_is_not_known_is_not_new_enough() -> None:
    tool = ToolchainFacts("gcc")

    assert fits(tool, read_wanted("gcc"))
    assert not fits(tool, read_wanted("gcc-12"))
    assert not fits(tool, read_wanted("gcc>=1"))


def test_few_of_many_tools_are_told() -> None:
    tools = tuple(ToolchainFacts(f"gcc{number}", "1", "riscv64") for number in range(7))
    server = facts(toolchains=(*tools, tools[0]))

    told = judge_tools(server, architecture="riscv64", toolchain="clang", crosses=False)

    assert told == ("", "has no clang for riscv64, only gcc0 1, gcc1 1, gcc2 1, gcc3 1, gcc4 1 and 2 more")
