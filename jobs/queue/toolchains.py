"""Whether a server's toolchains, native or cross, are what a job asks for: `gcc`, `gcc-12`, `gcc>=12`.

A job is built across only where something says how: it names a toolchain that the server has for the job's
architecture, it is a kernel build (the board sets ARCH and CROSS_COMPILE itself), or it names the server. Any
other job would run `make` natively and leave files of the wrong architecture without a word.
"""

import re
from dataclasses import dataclass

from servers.fleet import ServerFacts, ToolchainFacts

_AT_LEAST = re.compile(r"(?P<name>[^=<>]+)>=(?P<version>\d+(?:\.\d+)*)")
_NUMBER = re.compile(r"\d+")
_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """A toolchain as a job asks for it. `version` is a prefix of whole parts, or the least one."""

    text: str
    name: str
    version: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version} or newer" if self.at_least else self.text


def read_wanted(text: str) -> Wanted:
    """`gcc`, `gcc-12`, `gcc>=12`; a name may hold dashes itself, so the whole text counts as a name, too."""
    found = _AT_LEAST.fullmatch(text.replace(" ", ""))
    if found:
        return Wanted(text, found["name"], found["version"], at_least=True)
    name, _, version = text.rpartition("-")
    if name and version[:1].isdigit():
        return Wanted(text, name, version)
    return Wanted(text, text)


def fits(tool: ToolchainFacts, wanted: Wanted) -> bool:
    """Whether a tool is what is asked for, by its name and version or by its program's own name."""
    if not wanted.at_least and wanted.text in {tool.name, tool.program}:
        return True
    if tool.name != wanted.name and tool.program != wanted.name:
        return False
    if wanted.at_least:
        return bool(tool.version) and _parts(tool.version) >= _parts(wanted.version)
    if not wanted.version:
        return True
    return tool.version == wanted.version or tool.version.startswith(f"{wanted.version}.")


def judge_tools(server: ServerFacts, *, architecture: str, toolchain: str, crosses: bool) -> tuple[str, str]:
    """What is wrong with its architecture, and with its toolchains; empty: nothing.

    `crosses`: a cross toolchain of any name will do.
    """
    native = architecture in server.architectures
    cross = [tool for tool in server.toolchains if tool.target_architecture == architecture]
    has = ", ".join(sorted(server.architectures)) or "nothing yet"
    if not native and not cross:
        if not server.architectures:
            return "has not told its architecture yet", ""
        return f"builds {has}, not {architecture}", ""
    if not toolchain:
        if native or crosses:
            return "", ""
        return f"builds {has}; the job would have to require its {_list(cross)} for {architecture}", ""
    usable = [tool for tool in server.toolchains if native and not tool.target_architecture] + cross
    wanted = read_wanted(toolchain)
    if any(fits(tool, wanted) for tool in usable):
        return "", ""
    same = [tool for tool in usable if tool.name == wanted.name]
    instead = f", only {_list(same)}" if same else "" if native else f", only {_list(cross)}"
    return "", f"has no {wanted} for {architecture}{instead}"


def _list(tools: list[ToolchainFacts]) -> str:
    texts = dict.fromkeys(f"{tool.name} {tool.version}".strip() for tool in tools)
    more = len(texts) - _SHOWN
    shown = ", ".join(list(texts)[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBER.findall(version))
