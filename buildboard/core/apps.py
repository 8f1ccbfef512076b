"""What every app needs: people, tokens, events, doorbells."""

from django.apps import AppConfig

from buildboard.core import checks


class CoreConfig(AppConfig):
    name = "buildboard.core"
    label = "core"
    verbose_name = "People and audit"

    def ready(self) -> None:
        """Register the system checks."""
        checks.register_all()
