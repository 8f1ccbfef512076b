"""Orchestrators and their tokens `bbo_...`, a class of its own that only the internal API takes.

What an orchestrator may do with a job is lifecycle.py's matter.
"""

import re
from collections.abc import Iterable
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from buildboard.core import tokens
from buildboard.core.audit import Actor, record_event
from jobs.models import Orchestrator

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def create_orchestrator(name: str, *, job_types: Iterable[str], actor: Actor) -> tuple[Orchestrator, str]:
    """Register an orchestrator; with it its token, which cannot be shown again. No job types: all of them.

    Raises ValidationError (django.core.exceptions) when the name is taken, or a word does not fit.
    """
    job_types = list(dict.fromkeys(job_types))
    if not all(_WORD.fullmatch(word) for word in [name, *job_types]):
        raise ValidationError("Names and job types are at most 64 letters, digits and . _ - characters.")
    orchestrator = Orchestrator(id=uuid4(), name=name, job_types=job_types)
    text, orchestrator.secret_hash = tokens.new_token(tokens.ORCHESTRATOR_PREFIX, orchestrator.pk)
    orchestrator.full_clean(exclude=["job_types"])
    with transaction.atomic():
        orchestrator.save(force_insert=True)
        record_event(
            "orchestrator",
            subject_id=orchestrator.pk,
            kind="orchestrator_created",
            actor=actor,
            data={"name": name, "job_types": orchestrator.job_types},
        )
    return orchestrator, text


def revoke_orchestrator(orchestrator: Orchestrator, *, actor: Actor) -> bool:
    """End an orchestrator's token for good; False when it had been ended before."""
    with transaction.atomic():
        active = Orchestrator.objects.filter(pk=orchestrator.pk, revoked_at__isnull=True)
        ended = active.update(revoked_at=timezone.now())
        if ended:
            data = {"name": orchestrator.name}
            record_event(
                "orchestrator",
                subject_id=orchestrator.pk,
                kind="orchestrator_revoked",
                actor=actor,
                data=data,
            )
    return bool(ended)


def authenticate_orchestrator(text: str) -> Orchestrator | None:
    """Whom an orchestrator's token stands for; None when it is none or has ended."""
    parsed = tokens.parse_token(text, prefix=tokens.ORCHESTRATOR_PREFIX)
    if parsed is None:
        return None
    orchestrator = Orchestrator.objects.filter(pk=parsed[0]).first()
    matches = tokens.secret_matches(parsed[1], orchestrator.secret_hash if orchestrator else None)
    if orchestrator is None or not matches or orchestrator.revoked_at is not None:
        return None
    return orchestrator
