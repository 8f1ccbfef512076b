"""What the page of one server shows, part by part: load, builds, tools, its last check, events in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from buildboard.core.auth import Principal
from jobs.models import Attempt, BuildJob
from jobs.states import JobStatus
from jobs.views.charts import SPAN, LineChart, draw_line
from jobs.views.server_looks import Meter, meters_of
from jobs.views.sizes import mebibyte_words
from jobs.views.slot_chart import SlotChart, draw_slots
from servers.models import BuildServer, ProbeSample, ServerCheck

_STEP_WORDS = {
    "reach": "Reach",
    "host_key": "Host key",
    "login": "Log in",
    "shell": "Shell",
    "git": "Git",
    "work_dir": "Work folder",
    "disk": "Disk",
    "tools": "Tools",
}
_RUNNER_LATE = timedelta(seconds=15)
_MOST_RUNNING = 300
_RECENT = 40
_RECENT_IN_WORDS = 8
_MOST_DRAWN = 500
_DRAWN = ("number", "status", "started_at", "completed_at", "job__source_repository", "job__branch")
_COLUMNS = {"CPU": "cpu_percent", "Memory": "memory_percent", "Disk": "storage_percent"}
# kind: (icon, colour class, words). Words may use the event's data.
SERVER_EVENT_LOOKS = {
    "server_added": ("plus", "", "Added"),
    "server_changed": ("pencil", "", "Changed: {what}"),
    "check_requested": ("plug", "", "Test of the connection asked for"),
    "host_key_accepted": ("shield-check", "ok", "Host key accepted: {fingerprint}"),
    "host_key_changed": ("shield-alert", "bad", "It showed another host key: {seen}"),
    "host_key_replaced": ("shield-check", "", "Pinned host key replaced"),
    "host_key_back": ("shield-check", "ok", "The pinned host key is back"),
    "login_key_replaced": ("key-round", "", "Login key replaced"),
    "drain_started": ("arrow-down-to-line", "", "Draining"),
    "drain_changed": ("arrow-down-to-line", "", "Draining, with another reason or end"),
    "drain_ended": ("play", "ok", "Draining ended"),
    "maintenance_changed": ("wrench", "", "In maintenance, with another reason or end"),
    "removal_requested": ("trash-2", "bad", "Removal asked for"),
    "removal_withdrawn": ("play", "ok", "It stays after all"),
    "quarantined": ("shield-alert", "bad", "In quarantine"),
    "quarantine_extended": ("shield-alert", "bad", "In quarantine for longer"),
    "quarantine_ended": ("shield-check", "ok", "Out of quarantine"),
    "quarantine_withheld": ("shield-alert", "run", "At fault, and kept in service"),
    "start_refused": ("triangle-alert", "run", "Refused to start a build"),
    "rebooted": ("rotate-cw", "run", "Started anew"),
}
STATUS_LOOKS = {
    "online": ("check", "ok"),
    "offline": ("unplug", "bad"),
    "degraded": ("triangle-alert", "run"),
    "maintenance": ("wrench", ""),
    "unknown": ("circle-question-mark", ""),
}


@dataclass(frozen=True)
class Load:
    """One resource: how much of it is used now, what that means, and its last hour."""

    meter: Meter
    detail: str
    chart: LineChart


def loads_of(server: BuildServer) -> list[Load]:
    """CPU, memory and disk with their charts; one query."""
    now = timezone.now()
    samples = list(
        ProbeSample.objects.filter(server=server, at__gte=now - SPAN)
        .order_by("at")
        .values("at", *_COLUMNS.values())
    )
    details = {"CPU": _cpu_words(server), "Memory": _memory_words(server), "Disk": _disk_words(server)}
    loads = []
    for meter in meters_of(server):
        points = [(sample["at"], sample[_COLUMNS[meter.name]]) for sample in samples]
        chart = draw_line(meter.name, points, limit=meter.limit, now=now)
        loads.append(Load(meter, details[meter.name], chart))
    return loads


def _cpu_words(server: BuildServer) -> str:
    load = str(server.facts.get("load", "")).split(" ")[0]
    cores = f"of {server.total_cpu_cores} cores" if server.total_cpu_cores else ""
    return " · ".join(part for part in (cores, f"load {load}" if load else "") if part)


def _memory_words(server: BuildServer) -> str:
    return f"of {mebibyte_words(server.total_memory_mb)}" if server.total_memory_mb else ""


def _disk_words(server: BuildServer) -> str:
    mount = str(server.facts.get("disk.mount", ""))
    size = f"of {mebibyte_words(server.total_storage_gb << 10)}" if server.total_storage_gb else ""
    return " · ".join(part for part in (size, mount) if part)


def up_since(server: BuildServer) -> datetime | None:
    """When the machine was started, by what it said at its last probe."""
    try:
        seconds = float(str(server.facts.get("uptime", "")).split(" ")[0])
        return server.last_health_check - timedelta(seconds=seconds) if server.last_health_check else None
    except (ValueError, OverflowError):
        return None


# ---- builds ---------------------------------------------------------------------------------------------


def running_on(server: BuildServer, *, principal: Principal) -> list[Attempt]:
    """Active attempts there with their jobs, the oldest first."""
    attempts = Attempt.objects.visible_to(principal).active().filter(server=server)
    return list(attempts.select_related("job").defer("job__spec").order_by("created_at")[:_MOST_RUNNING])


def last_hour_on(server: BuildServer, *, running: Sequence[Attempt], principal: Principal) -> SlotChart:
    """What its slots ran in the last hour, each attempt where it ran: the `running` and what ended. One query."""
    now = timezone.now()
    ended = Attempt.objects.visible_to(principal).filter(server=server, completed_at__gt=now - SPAN)
    rows = list(ended.select_related("job").only(*_DRAWN).order_by("-completed_at")[: _MOST_DRAWN + 1])
    # One that has ended since the others were read is among both.
    drawn = {one.pk: one for one in [*running, *rows[:_MOST_DRAWN]]}
    return draw_slots(
        drawn.values(),
        slots=server.max_concurrent_builds,
        now=now,
        is_whole=len(rows) <= _MOST_DRAWN,
    )


def recent_on(server: BuildServer, *, principal: Principal) -> dict[str, Any]:
    """Its newest jobs that have ended, in words and as marks from old to new. One query."""
    jobs = BuildJob.objects.visible_to(principal).filter(server=server).finished()
    finished = list(jobs.defer("spec", "secret_spec", "result").order_by("-created_at", "-id")[:_RECENT])
    judged = [job for job in finished if job.status != JobStatus.CANCELLED]
    completed = sum(job.status == JobStatus.COMPLETED for job in judged)
    rate = f"{completed} of the last {len(judged)} completed" if judged else ""
    return {
        "jobs": finished[:_RECENT_IN_WORDS],
        "marks": [job.status for job in reversed(finished)],
        "rate": rate,
        "sentence": f"The last {len(finished)} jobs, the newest at the end: {rate or 'all cancelled'}",
    }


# ---- the last check -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepLine:
    """One step of a check: `done`, `failed`, `current` or `ahead`, with what was seen and what to do."""

    name: str
    word: str
    state: str
    seen: str
    advice: str
    milliseconds: int | None


@dataclass(frozen=True)
class CheckShown:
    """The last check of a server. `is_late`: no runner has begun it for so long that something is wrong."""

    check: ServerCheck
    steps: list[StepLine]
    is_late: bool

    @property
    def is_open(self) -> bool:
        """Whether it is still to be begun or under way."""
        return self.check.finished_at is None

    @property
    def failed(self) -> StepLine | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.state == "failed"), None)

    def has_passed(self, name: str) -> bool:
        """Whether this step was tried and went well."""
        return any(step.name == name and step.state == "done" for step in self.steps)


def last_check(server: BuildServer) -> CheckShown | None:
    """The newest check in words; None when nobody asked for one."""
    check = ServerCheck.objects.filter(server=server).order_by("-requested_at").first()
    if check is None:
        return None
    given = {str(step.get("name")): step for step in check.steps}
    is_running = check.started_at is not None and check.finished_at is None
    lines: list[StepLine] = []
    for name, word in _STEP_WORDS.items():
        if check.ok and given and name not in given:
            continue  # a check of before there was this step
        step = given.get(name, {})
        ok = step.get("ok")
        is_next = is_running and not any(line.state in ("current", "failed") for line in lines)
        state = "done" if ok else "failed" if ok is False else "current" if is_next else "ahead"
        lines.append(
            StepLine(
                name,
                word,
                state,
                str(step.get("seen", "")),
                str(step.get("advice", "")),
                step.get("milliseconds"),
            )
        )
    is_late = check.started_at is None and timezone.now() - check.requested_at > _RUNNER_LATE
    return CheckShown(check, lines, is_late)


# ---- tools ----------------------------------------------------------------------------------------------


def tools_of(server: BuildServer) -> list[Any]:
    """Toolchains: those for its own architecture first, then by target."""
    return sorted(
        server.toolchains.all(), key=lambda tool: (tool.target_architecture, tool.name, tool.version)
    )
