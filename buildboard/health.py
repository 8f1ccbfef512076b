"""For probes: whether this process is up (`/healthz`), and whether the board can build (`/readyz`).

Of a server's health it knows nothing (servers/health.py).
"""

from dataclasses import asdict, dataclass

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from buildboard.core.auth import requires
from buildboard.core.heartbeat import last_beat
from buildboard.core.permissions import Right

RUNNER_SECONDS = 10.0
WORKER_SECONDS = 30.0


@dataclass(frozen=True)
class Check:
    """One thing that the board needs; `detail` is a sentence when it is not there."""

    name: str
    ok: bool
    detail: str = ""


@requires(Right.PUBLIC)
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers. Asks nothing else, so that an outage elsewhere does not get it restarted."""
    return JsonResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@requires(Right.PUBLIC)
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and a runner and a worker live, on this machine or another; else 503."""
    checks = run_checks()
    is_ready = all(check.ok for check in checks)
    body = {"status": "ready" if is_ready else "not ready", "checks": [asdict(check) for check in checks]}
    return JsonResponse(body, status=200 if is_ready else 503, headers={"Cache-Control": "no-store"})


def run_checks() -> list[Check]:
    """What `/readyz` looks at."""
    try:
        runner = _look("runner", beat="runner", within_seconds=RUNNER_SECONDS)
        worker = _look("worker", beat="ping:buildboard", within_seconds=WORKER_SECONDS)
    except (DatabaseError, InterfaceError):
        unknown = "Not known while the database is away."
        return [
            Check("database", ok=False, detail="The database does not answer."),
            Check("runner", ok=False, detail=unknown),
            Check("worker", ok=False, detail=unknown),
        ]
    return [Check("database", ok=True), runner, worker]


def _look(name: str, *, beat: str, within_seconds: float) -> Check:
    found = last_beat(beat)
    if found is None:
        return Check(name, ok=False, detail=f"No {name} has given a sign of life yet.")
    if found.age_seconds > within_seconds:
        return Check(name, ok=False, detail=f"The last sign of life is {found.age_seconds:.0f} s old.")
    return Check(name, ok=True)
