"""`webhook_secret`: prints the secret that signs `callback_url` notifications."""

from typing import Any

from django.core.management.base import BaseCommand

from buildboard.core.crypto import webhook_signing_secret


class Command(BaseCommand):
    help = "Print the secret with which receivers check `callback_url` notifications (Standard Webhooks)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it, alone on stdout."""
        self.stdout.write(webhook_signing_secret())
