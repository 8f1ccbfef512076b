"""A server's quarantine as its page shows it: how far it is, and the one build that it is tried with."""

from dataclasses import dataclass

from jobs.models import Attempt
from jobs.views.server_looks import quarantine_now
from servers.models import BuildServer
from servers.states import QuarantineStage


@dataclass(frozen=True)
class QuarantineShown:
    """`canary` is the build on trial, while there is one."""

    stage: QuarantineStage
    canary: Attempt | None


def quarantine_shown(server: BuildServer) -> QuarantineShown | None:
    """None when it is in service. One query while a canary build runs, none else."""
    stage = quarantine_now(server)
    if stage is QuarantineStage.NONE:
        return None
    canary = None
    if stage is QuarantineStage.CANARY_RUNS and server.canary_id is not None:
        canary = Attempt.objects.select_related("job").defer("job__spec").filter(pk=server.canary_id).first()
    return QuarantineShown(stage, canary)
