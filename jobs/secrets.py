"""Stores and removes secrets; nobody else writes `Secret`. Values are encrypted here and never shown again.

The runner decrypts them when it starts a build; masking them in logs is logs/masking.py's.
"""

from django.db import transaction
from django.utils import timezone

from buildboard.core.audit import Actor, record_event
from buildboard.core.crypto import encrypt
from jobs.models import Secret


def store_secret(name: str, *, value: str, actor: Actor) -> tuple[Secret, bool]:
    """Keep a checked value under a name, in place of an older one; whether it is a new name."""
    now = timezone.now()
    values = {"encrypted_value": encrypt(value), "updated_at": now}
    with transaction.atomic():
        secret, is_new = Secret.objects.update_or_create(
            name=name,
            defaults=values,
            create_defaults={**values, "created_by": actor.name, "created_at": now},
        )
        kind = "secret_stored" if is_new else "secret_replaced"
        record_event("secret", subject_id=secret.pk, kind=kind, actor=actor, data={"name": name})
    return secret, is_new


def remove_secret(name: str, *, actor: Actor) -> bool:
    """Forget a secret; False when there is none. Jobs that list it and did not start yet will fail."""
    with transaction.atomic():
        secret = Secret.objects.filter(name=name).first()
        if secret is None:
            return False
        record_event("secret", subject_id=secret.pk, kind="secret_removed", actor=actor, data={"name": name})
        secret.delete()
    return True
