"""`create_token`: prints a new API token, once, alone on stdout."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.auth import create_token
from buildboard.core.forms import MAX_DAYS
from buildboard.core.models import ApiToken, User
from buildboard.core.permissions import RIGHTS_OF_SCOPE, Scope


class Command(BaseCommand):
    help = "Print a new API token of a person, once. Without --scope it has every scope of their role."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, for what, how long."""
        parser.add_argument("username")
        parser.add_argument(
            "--scope", action="append", choices=Scope.values, help="may be given several times"
        )
        parser.add_argument("--name", default="command line", help="what it is for")
        parser.add_argument("--expires", type=int, metavar="DAYS", help="without it: when it is revoked")

    def handle(
        self, *, username: str, scope: list[str] | None, name: str, expires: int | None, **options: Any
    ) -> None:
        """Make the token, or say what is wrong."""
        user = User.objects.filter(username=User.normalize_username(username)).first()
        if user is None or not user.is_active:
            raise CommandError(f"There is no active user {username}; create_user adds one.")
        if expires is not None and not 1 <= expires <= MAX_DAYS:
            raise CommandError(f"--expires: must be from 1 to {MAX_DAYS} days.")
        longest = ApiToken._meta.get_field("name").max_length or 0
        if not name.strip() or len(name) > longest or "\x00" in name:
            raise CommandError(f"--name: must have from 1 to {longest} characters.")
        allowed = [item for item in Scope.values if RIGHTS_OF_SCOPE[item] <= user.rights]
        beyond = sorted(set(scope or ()) - set(allowed))
        if beyond:
            raise CommandError(
                f"--scope: {', '.join(beyond)} goes beyond the role {user.role} of {username}."
            )
        _, text = create_token(
            user,
            name=name,
            scopes=scope or allowed,
            expires_at=timezone.now() + timedelta(days=expires) if expires else None,
            actor=Actor(door="command"),
        )
        self.stderr.write(
            f"Token of {user.username} ({', '.join(scope or allowed)}); it is not shown again:",
            self.style.SUCCESS,
        )
        self.stdout.write(text)
