"""Prepares the start of an attempt: its program, environment and secrets. It sends nothing itself."""

import json

from django.conf import settings

from buildboard.core.crypto import decrypt, encrypt
from jobs import lifecycle
from jobs.errors import JobError
from jobs.execution.script import BuildSpec, render
from jobs.models import Attempt, BuildJob, Secret
from jobs.providers.base import Change, Limits, Metadata
from jobs.states import ErrorCategory
from jobs.validation import Invalid


class CannotStart(JobError):
    """The attempt cannot be started, now or later; carries its error category."""

    def __init__(self, message: str, *, category: ErrorCategory) -> None:
        super().__init__(message)
        self.category = category


def limits_of(job: BuildJob) -> Limits:
    """The time limits of a job's submission."""
    return Limits(
        timeout_seconds=int(job.spec.get("timeout_seconds") or 3600),
        idle_timeout_seconds=int(job.spec.get("idle_timeout_seconds") or 0),
    )


def change_of(job: BuildJob) -> Change:
    """What a job builds."""
    return Change(job.source_repository, job.branch, job.commit_hash, job.target_architecture)


def prepare_start(attempt: Attempt) -> Metadata:
    """Everything that the provider is to get; from now on the attempt counts as sent.

    The secrets are remembered, encrypted, so that every later follower masks exactly these values. Raises
    CannotStart, StaleLease.
    """
    secrets = masked_values_of(attempt) if attempt.masked_values else _read_secrets(attempt.job)
    if secrets and not attempt.masked_values:
        attempt.masked_values = encrypt(json.dumps(secrets))
    lifecycle.mark_submitted(attempt, masked_values=attempt.masked_values)
    try:
        script = render(_spec_of(attempt, secrets))
    except Invalid as error:  # accepted by an earlier release, refused by this one
        raise CannotStart(str(error), category=ErrorCategory.CHECKOUT) from error
    return Metadata(
        attempt_id=str(attempt.pk),
        script=script.script,
        environment={**(attempt.server.environment if attempt.server else {}), **script.environment},
        limits=limits_of(attempt.job),
        labels={str(key): str(value) for key, value in attempt.job.labels.items()},
    )


def masked_values_of(attempt: Attempt) -> dict[str, str]:
    """The secrets that an attempt was given, by name."""
    if not attempt.masked_values:
        return {}
    values = json.loads(decrypt(attempt.masked_values, record=f"The secrets of attempt {attempt.pk}"))
    return {str(name): str(value) for name, value in values.items()}


def _read_secrets(job: BuildJob) -> dict[str, str]:
    names = [str(name) for name in job.spec.get("secrets") or []]
    found = {
        secret.name: decrypt(secret.encrypted_value, record=f"The secret {secret.name}")
        for secret in Secret.objects.filter(name__in=names)
    }
    missing = [name for name in names if name not in found]
    if missing:
        text = f"The secret {', '.join(missing)} no longer exists; store it again or submit without it."
        raise CannotStart(text, category=ErrorCategory.SYSTEM)
    return found


def _spec_of(attempt: Attempt, secrets: dict[str, str]) -> BuildSpec:
    job, spec = attempt.job, attempt.job.spec
    config = spec.get("build_config") or {}
    return BuildSpec(
        job_id=str(job.pk),
        repository=job.source_repository,
        architecture=job.target_architecture,
        branch=job.branch,
        commit=job.commit_hash,
        build_command=spec.get("build_command") or "",
        kernel_config=config.get("kernel_config") or "",
        extra_make_args=tuple(config.get("extra_make_args") or ()),
        enable_modules=config.get("enable_modules"),
        build_dtbs=bool(config.get("build_dtbs")),
        environment=spec.get("environment") or {},
        custom_env=config.get("custom_env") or {},
        secrets=secrets,
        local_repositories=bool(settings.LOCAL_REPOSITORIES),
    )
