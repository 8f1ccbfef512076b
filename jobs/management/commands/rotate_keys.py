"""`rotate_keys`: encrypts every stored credential with the newest of BUILDBOARD_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from buildboard.core.crypto import make_key
from buildboard.core.rotation import rotate_column
from jobs.models import Attempt, BuildJob, Secret
from servers.models import BuildServer

COLUMNS = (
    (BuildServer.objects.all(), "private_key", "private key of server"),
    (Secret.objects.all(), "encrypted_value", "value of secret"),
    (Attempt.objects.all(), "masked_values", "secrets of attempt"),
    (BuildJob.objects.all(), "secret_spec", "write-only values of job"),
)


class Command(BaseCommand):
    help = (
        "Encrypt every stored credential with the newest key. Put a new key in front of BUILDBOARD_ENCRYPTION_KEYS "
        "on every machine, restart, run this, then take the old keys away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One flag."""
        parser.add_argument("--make-key", action="store_true", help="print a new key and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how many of each; it may be run again at any time."""
        if options["make_key"]:
            self.stdout.write(make_key())
            return
        failed: list[str] = []
        for rows, column, what in COLUMNS:
            result = rotate_column(rows.all(), column=column, what=what)
            failed += result.failed
            self.stdout.write(
                f"{what}: {result.changed} encrypted anew, {result.current} were under the newest key already"
            )
        if failed:
            raise CommandError(
                f"{len(failed)} cannot be decrypted with any key; keep the old keys, or store these again: "
                + ", ".join(failed[:20])
            )
