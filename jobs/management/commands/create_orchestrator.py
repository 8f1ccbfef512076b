"""`create_orchestrator`: registers an orchestrator and prints its token, once, alone on stdout."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from buildboard.core.audit import Actor
from jobs.orchestrators import create_orchestrator


class Command(BaseCommand):
    help = "Register an orchestrator, which pulls jobs through the internal API, and print its token, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name and what it takes."""
        parser.add_argument("name")
        parser.add_argument(
            "--types", default="", metavar="A,B", help="job types that it takes; without: all"
        )

    def handle(self, *, name: str, types: str, **options: Any) -> None:
        """Register it, or say what is wrong."""
        job_types = [part.strip() for part in types.split(",") if part.strip()]
        try:
            orchestrator, text = create_orchestrator(name, job_types=job_types, actor=Actor(door="command"))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stderr.write(
            f"Orchestrator {orchestrator.name}; its token is not shown again:", self.style.SUCCESS
        )
        self.stdout.write(text)
