"""`worker`: the runner and short tasks alone, for a board of several machines. The work is launch.py's."""

from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from buildboard.launch import Wanted, add_worker_arguments, launch


class Command(BaseCommand):
    help = "Run the working half alone: the runner, which executes builds, and the short tasks."
    # Bad combinations of settings. What Django would look at besides, its authors see; it takes a second of each start.
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many workers."""
        add_worker_arguments(parser)

    def handle(self, *, workers: int, **options: Any) -> None:
        """Run until Ctrl-C or SIGTERM."""
        launch(Wanted(workers=workers), out=self.stdout)
