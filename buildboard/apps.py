"""The project itself as an app: it holds the commands that run the board."""

from django.apps import AppConfig


class BuildboardConfig(AppConfig):
    name = "buildboard"
    label = "board"
    verbose_name = "Buildboard"
