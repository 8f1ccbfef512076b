"""What every app needs: people, tokens, events, doorbells."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "buildboard.core"
    label = "core"
    verbose_name = "People and audit"
