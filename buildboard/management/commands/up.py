"""`up`: the whole board on one machine. The work is launch.py's."""

from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from buildboard.launch import Wanted, add_web_arguments, add_worker_arguments, launch


class Command(BaseCommand):
    help = "Run the whole board: web, workers and runner, with this machine as build server `local`."
    # Bad combinations of settings. What Django would look at besides, its authors see; it takes a second of each start.
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen and how much to start."""
        add_web_arguments(parser)
        add_worker_arguments(parser)
        parser.add_argument(
            "--no-local-server",
            action="store_false",
            dest="local_server",
            help="run no builds on this machine",
        )

    def handle(
        self, *, host: str, port: int, web: int, workers: int, local_server: bool, **options: Any
    ) -> None:
        """Run until Ctrl-C or SIGTERM."""
        wanted = Wanted(
            host=host, port=port, web=web, workers=workers, is_whole=True, local_server=local_server
        )
        launch(wanted, out=self.stdout)
