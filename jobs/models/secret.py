"""Stored secrets, encrypted at rest; never shown again."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone


class Secret(models.Model):
    """A value that builds get as an environment variable of this name when they list it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True, validators=[RegexValidator(r"^[A-Z][A-Z0-9_]*\Z")])
    encrypted_value = models.TextField(editable=False)
    created_by = models.CharField(max_length=150, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
