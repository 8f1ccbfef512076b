"""`set_role`: changes what a person may do."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from buildboard.core.audit import Actor
from buildboard.core.models import User
from buildboard.core.people import LastAdmin, change_role
from buildboard.core.permissions import Role


class Command(BaseCommand):
    help = "Change a person's role. It counts at their next request."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name and the new role."""
        parser.add_argument("username")
        parser.add_argument("role", choices=Role.values)

    def handle(self, *, username: str, role: str, **options: Any) -> None:
        """Change it, or say why not."""
        user = User.objects.filter(username=User.normalize_username(username)).first()
        if user is None:
            raise CommandError(f"There is no user {username}; create_user adds one.")
        try:
            changed = change_role(user, role=Role(role), actor=Actor(door="command"))
        except LastAdmin as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"{user.username} is {role} {'now' if changed else 'already'}.", self.style.SUCCESS)
