"""Makes a POST with an `Idempotency-Key` happen once: the same key and body give the first job again."""

import hashlib
import json
import re
from collections.abc import Callable
from uuid import UUID

from django.db import IntegrityError, transaction

from buildboard.core.errors import ApiError
from buildboard.core.models import IdempotencyKey, User
from jobs.models import BuildJob
from jobs.schemas import Submission

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def submit_once(
    key: str | None, *, user: User, given: Submission, submit: Callable[[], BuildJob]
) -> BuildJob:
    """Call `submit`, or give the job that the same key made before.

    The key's row is written first, in the transaction of the job: of parallel calls one gets it, the others
    wait for that one's end. Raises ApiError 409 when the key came with another body, 422 for a key that is
    none, and what `submit` raises, which leaves no key behind.
    """
    if key is None:
        return submit()
    if not _KEY.fullmatch(key):
        message = "Write 1 to 255 printable ASCII characters without spaces, such as a UUID."
        raise ApiError(
            422,
            "invalid",
            "The Idempotency-Key does not fit.",
            errors=[{"field": "Idempotency-Key", "message": message}],
        )
    body_hash = _hash(given)
    with transaction.atomic():
        row = _take(key, user=user, body_hash=body_hash)
        if row is not None:
            job = submit()
            IdempotencyKey.objects.filter(pk=row.pk).update(answer={"job_id": str(job.pk)})
            return job
    return _first_job(key, user=user, body_hash=body_hash)


def _take(key: str, *, user: User, body_hash: str) -> IdempotencyKey | None:
    """The new row of the key; None when it is taken."""
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(user=user, key=key, body_hash=body_hash)
    except IntegrityError:
        return None


def _first_job(key: str, *, user: User, body_hash: str) -> BuildJob:
    row = IdempotencyKey.objects.filter(user=user, key=key).first()
    if row is None or row.body_hash != body_hash:
        raise ApiError(409, "conflict", "This Idempotency-Key was used with another body. Use a new key.")
    jobs = BuildJob.objects.select_related("created_by")
    job = jobs.filter(pk=UUID(row.answer["job_id"])).first() if row.answer else None
    if job is None:
        raise ApiError(409, "conflict", "The job of this Idempotency-Key is no longer kept. Use a new key.")
    return job


def _hash(given: Submission) -> str:
    """The same for bodies that mean the same, however their keys are ordered."""
    text = json.dumps(given.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
