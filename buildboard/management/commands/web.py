"""`web`: the web processes alone, for a board of several machines. The work is launch.py's."""

from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from buildboard.launch import Wanted, add_web_arguments, launch


class Command(BaseCommand):
    help = "Run the web half alone: pages, API and live logs."
    # Bad combinations of settings. What Django would look at besides, its authors see; it takes a second of each start.
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen and how many processes."""
        add_web_arguments(parser)

    def handle(self, *, host: str, port: int, web: int, **options: Any) -> None:
        """Run until Ctrl-C or SIGTERM."""
        launch(Wanted(host=host, port=port, web=web), out=self.stdout)
