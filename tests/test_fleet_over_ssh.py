"""Three real sshd with other labels, limits and tools: who gets which build, and what takes a server out and back.

One board for all. Tools are stand-ins in front of the PATH that answer their version only; `disk` tells `df` what to
say. `unit-tool` is what the builds call, so that a server can be broken for every build alike.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import Server, World
from tests.repositories import make_repository
from tests.requirements import require
from tests.ssh_servers import SshServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.ssh, pytest.mark.both_databases, pytest.mark.timeout(600)]

MACHINE = os.uname().machine
FOREIGN = "aarch64" if MACHINE != "aarch64" else "riscv64"
JOBS, SERVERS = "/infrastructure/build-jobs", "/infrastructure/build-servers"
# The server itself keeps count; a file `hold` there makes its builds wait.
BUILD = 'echo "$BUILDBOARD_JOB_ID" >>"$HOME/built"; while [ -e "$HOME/hold" ]; do sleep 0.1; done; unit-tool --version'
WELL = "unit-tool 1.0"
BROKEN = "unit-tool: error while loading shared libraries: libunit.so.1: cannot open shared object file"
DF = """#!/bin/sh
case $1 in -Pk) ;; *) exec /bin/df "$@" ;; esac
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "/dev/unit 104857600 $(cat "${0%/*}/disk") /unit"
"""
DISK_HALF, DISK_FULL = "52428800 52428800 50%", "94371840 10485760 90%"
DISK_BETWEEN = "85983232 18874368 82%"  # under the limit, and above where it counts as well again


@dataclass(frozen=True)
class Site:
    """A server of the board, with the folder of its tools."""

    server: Server
    tools: Path

    @property
    def id(self) -> str:
        return self.server.id

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def sshd(self) -> SshServer:
        return self.server.sshd

    @property
    def built(self) -> list[str]:
        """The jobs whose commands began there, in order."""
        path = self.sshd.home / "built"
        return path.read_text().split() if path.exists() else []

    @property
    def hold(self) -> Path:
        return self.sshd.home / "hold"

    def make_tool(self, name: str, says: str, *, code: int = 0) -> None:
        """A stand-in that answers this to everything."""
        path = self.tools / f"{name}.new"
        path.write_text(f"#!/bin/sh\necho '{says}' >&{2 if code else 1}\nexit {code}\n")
        path.chmod(0o755)
        path.rename(self.tools / name)


class Fleet:
    """The board, its three servers, and repositories to build."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.board = world.board
        self.repositories = [
            make_repository(world.folder / name, {"README": name}) for name in ("one", "two", "three")
        ]
        self.north = self._add("north", {"clang": "clang version 99.1.0"}, labels={"pool": "main"})
        self.south = self._add(
            "south", {f"{FOREIGN}-linux-gnu-gcc": f"{FOREIGN}-linux-gnu-gcc (Unit) 98.1.0"}
        )
        self.east = self._add(
            "east",
            {},
            labels={"pool": "main", "disk": "nvme"},
            max_concurrent_builds=1,
            limits={"storage_percent": 85},
        )

    def _add(self, name: str, tools: dict[str, str], **fields: Any) -> Site:
        sshd = self.world.enter_context(SshServer())
        folder = sshd.folder / "tools"
        folder.mkdir()
        (folder / "disk").write_text(DISK_HALF)
        (folder / "df").write_text(DF)
        (folder / "df").chmod(0o755)
        limits = {
            "cpu_percent": 100,
            "memory_percent": 100,
            "storage_percent": 100,
            **fields.pop("limits", {}),
        }
        server = self.world.register(
            sshd,
            name=name,
            architectures=[MACHINE],
            environment={"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin"},
            utilization_limits=limits,
            **fields,
        )
        site = Site(server, folder)
        for tool, says in {"unit-tool": WELL, **tools}.items():
            site.make_tool(tool, says)
        return site

    @property
    def sites(self) -> list[Site]:
        return [self.north, self.south, self.east]

    # ---- what is asked of the board ---------------------------------------------------------------------

    def submit(self, repository: int = 0, **fields: object) -> str:
        return self.board.submit(self.repositories[repository], **{"build_command": BUILD, **fields})

    def row(self, site: Site) -> Any:
        return self.world.row(site.server)

    def post(self, site: Site, action: str, body: object = None) -> Any:
        return self.board.call("POST", f"{SERVERS}/{site.id}/{action}", body)

    def wait_row(self, site: Site, what: str, **wanted: object) -> Any:
        def look() -> Any:
            row = self.row(site)
            return row if {key: row[key] for key in wanted} == wanted else None

        return self.board.wait_for(look, what=f"{site.name} {what}: {wanted}", seconds=60)

    def wait_built(self, site: Site, job_id: str) -> None:
        self.board.wait_for(lambda: job_id in site.built, what=f"{job_id} began on {site.name}", seconds=60)

    def wait_reason(self, job_id: str, site: Site, reason: str) -> None:
        """Until the job waits and this is why this server does not take it."""
        last: list[str] = []

        def look() -> bool:
            last[:] = self.reasons(job_id, site)
            return any(reason in one for one in last)

        wait_for(look, what=lambda: f"{site.name} refuses with {reason!r}, but: {last}", seconds=60)

    def reasons(self, job_id: str, site: Site) -> list[str]:
        told = self.board.call("GET", f"{JOBS}/{job_id}/explain")["servers"]
        return list(next(one["reasons"] for one in told if one["server"] == site.name))

    def finish(self, *job_ids: str) -> list[tuple[str, str]]:
        """Status and server of these jobs, once they are finished."""
        jobs = [self.board.wait_until_finished(job_id) for job_id in job_ids]
        return [(job["status"], job["server_name"]) for job in jobs]

    def events(self, site: Site) -> list[str]:
        return [kind for kind, _ in self.world.server_events(site.server)]

    def wait_retries(self, *job_ids: str) -> list[str]:
        """The new jobs that were made after these."""

        def look() -> list[str]:
            jobs = self.board.call("GET", f"{JOBS}?limit=200")
            found = {job["retry_of"]: job["id"] for job in jobs}
            return [found[job_id] for job_id in job_ids] if found.keys() >= set(job_ids) else []

        return self.board.wait_for(look, what=f"new jobs after {job_ids}", seconds=60)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    require("sshd")
    require("git")
    folder = Path(tmp_path_factory.mktemp("fleet")).resolve()
    with World(folder, settings={"BUILDBOARD_QUARANTINE_SECONDS": "5"}) as world:
        fleet = Fleet(world)
        for site in fleet.sites:
            world.wait_online(site.server)
        yield fleet
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_held(fleet: Fleet) -> Iterator[None]:
    yield
    for site in fleet.sites:
        site.hold.unlink(missing_ok=True)


def test_each_build_goes_where_its_labels_and_tools_are(fleet: Fleet) -> None:
    by_label = fleet.submit(required_labels={"disk": "nvme"})
    by_tool = fleet.submit(1, required_toolchain="clang-99")
    crossed = fleet.submit(2, target_architecture=FOREIGN, required_toolchain="gcc-98")
    nowhere = fleet.submit(required_labels={"disk": "nvme"}, required_toolchain="clang-99")

    assert fleet.finish(by_label, by_tool, crossed) == [
        ("completed", "east"),
        ("completed", "north"),
        ("completed", "south"),
    ]
    assert [site.built for site in fleet.sites] == [[by_tool], [crossed], [by_label]]
    fleet.wait_reason(nowhere, fleet.north, "Lacks the label disk=nvme")
    fleet.wait_reason(nowhere, fleet.east, "clang")
    fleet.board.call("PUT", f"{JOBS}/{nowhere}/cancel")


def test_a_server_of_one_slot_that_drains_ends_its_build_and_takes_no_other(fleet: Fleet) -> None:
    fleet.east.hold.touch()
    runs, waits = (fleet.submit(required_labels={"disk": "nvme"}) for _ in range(2))
    fleet.wait_built(fleet.east, runs)
    fleet.wait_reason(waits, fleet.east, "Is full: its only slot is taken")

    fleet.post(fleet.east, "drain", {"enabled": True, "reason": "New disks"})

    fleet.wait_reason(waits, fleet.east, "Is draining: New disks")
    assert fleet.board.job(runs)["status"] == "running"
    fleet.east.hold.unlink()
    assert fleet.finish(runs) == [("completed", "east")]
    assert fleet.reasons(waits, fleet.east) == ["Is draining: New disks."]
    assert waits not in fleet.east.built

    fleet.post(fleet.east, "drain", {"enabled": False})

    assert fleet.finish(waits) == [("completed", "east")]


def test_a_disk_over_its_threshold_degrades_and_keeps_builds_away_until_there_is_room(fleet: Fleet) -> None:
    def probe(disk: str, *, percent: float, status: str) -> str:
        (fleet.east.tools / "disk").write_text(disk)
        fleet.post(fleet.east, "probe")
        fleet.board.wait_for(
            lambda: fleet.row(fleet.east)["utilization"]["storage_percent"] == percent,
            what=f"the disk is seen {percent}% full",
            seconds=60,
        )
        return str(fleet.wait_row(fleet.east, "is judged", status=status)["status_reason"])

    told = probe(DISK_FULL, percent=90, status="degraded")
    assert told.startswith("Its disk is 90% full; over 85% it takes no builds, and at 80% it counts as well")
    waits = fleet.submit(required_labels={"disk": "nvme"})
    fleet.wait_reason(waits, fleet.east, "Uses 90% of its storage, over its limit of 85%")

    told = probe(DISK_BETWEEN, percent=82, status="degraded")

    assert told.startswith("Its disk is 82% full;")
    assert fleet.finish(waits) == [("completed", "east")]
    assert fleet.row(fleet.east)["status"] == "degraded"
    assert probe(DISK_HALF, percent=50, status="online") == "It is well again."


def test_a_changed_host_key_is_quarantined_with_nothing_sent_until_it_is_accepted(fleet: Fleet) -> None:
    south = fleet.south
    south.sshd.kill_all()
    south.sshd.change_host_key()
    south.sshd.start()
    logins = south.sshd.auth_log().count("Accepted publickey")
    fleet.post(south, "probe")
    row = fleet.wait_row(south, "is in quarantine", quarantine_kind="host_key", status="offline")
    assert row["quarantined_until"] is None

    waits = fleet.submit(server_id="south")

    fleet.wait_reason(waits, south, "Shows another host key than the pinned one")
    assert south.sshd.auth_log().count("Accepted publickey") == logins
    assert "host_key_changed" in fleet.events(south)

    fleet.post(south, "accept-host-key", {"fingerprint": row["seen_host_key_fingerprint"]})

    assert fleet.finish(waits) == [("completed", "south")]
    assert fleet.row(south)["quarantine_kind"] is None


def test_a_broken_server_is_quarantined_its_victims_are_built_elsewhere_and_one_build_brings_it_back(
    fleet: Fleet,
) -> None:
    north, east = fleet.north, fleet.east
    north.make_tool("unit-tool", BROKEN, code=127)
    fleet.post(east, "drain", {"enabled": True})  # so that all of them go there at first
    victims = [fleet.submit(number, required_labels={"pool": "main"}) for number in range(2)]
    assert fleet.finish(*victims) == [("failed", "north")] * 2
    fleet.post(east, "drain", {"enabled": False})
    assert fleet.finish(fleet.submit(2, server_id="east")) == [("completed", "east")]
    assert fleet.row(north)["quarantine_kind"] is None

    last = fleet.submit(2, server_id="north", server_fallback=True)
    assert fleet.finish(last) == [("failed", "north")]
    row = fleet.wait_row(north, "is in quarantine", quarantine_kind="fault")
    north.hold.touch()
    north.make_tool("unit-tool", WELL)

    # What failed there is built elsewhere; what takes this server alone waits, and is what it is tried with.
    assert row["quarantine_reason"].startswith("3 different builds of 3 repositories failed here")
    again = fleet.wait_retries(*victims, last)
    assert fleet.finish(*again[:2]) == [("completed", "east")] * 2
    assert fleet.finish(again[2]) in ([("completed", "east")], [("completed", "south")])
    before = len(north.built)
    more = [fleet.submit(number, server_id="north") for number in (1, 2)]
    trial = fleet.board.wait_for(lambda: north.built[before:], what="the trial build begins", seconds=60)
    (waits,) = set(more) - set(trial)
    fleet.wait_reason(waits, north, "Comes out of quarantine through one build, which runs now")
    assert len(north.built) == before + 1
    assert fleet.row(north)["canary_attempt_id"] is not None
    north.hold.unlink()

    assert fleet.finish(*more) == [("completed", "north")] * 2
    fleet.wait_row(north, "is back", quarantine_kind=None, quarantined_since=None)
    told = [kind for kind in fleet.events(north) if kind.startswith("quarantine")]
    assert (told[0], told[-1]) == ("quarantined", "quarantine_ended")
    assert not {"quarantined", "quarantine_withheld"} & set(fleet.events(east))
