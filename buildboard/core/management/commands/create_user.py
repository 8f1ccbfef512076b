"""`create_user`: adds a person. Sign-in is core/auth.py's matter."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from buildboard.core.audit import Actor, record_event
from buildboard.core.models import User
from buildboard.core.permissions import Role

_TOKENS_ONLY = ", without a password: tokens work, signing in only once an admin sets one in the admin site"


class Command(BaseCommand):
    help = "Add a person with a role. Without a password the account can use API tokens only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name, the role, and where the password comes from."""
        parser.add_argument("username")
        parser.add_argument("--role", choices=Role.values, required=True)
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from one line of stdin"
        )

    def handle(self, *, username: str, role: str, password_stdin: bool, **options: Any) -> None:
        """Make the account, or say what is wrong with the name or the password."""
        user = User(username=User.normalize_username(username), role=role)
        _validate(user.clean_fields, exclude=["password"])
        if User.objects.filter(username=user.username).exists():
            raise CommandError(f"There is a user {user.username} already; set_role changes the role.")
        password = _read_password(from_stdin=password_stdin)
        if password is not None:
            _validate(validate_password, password, user)
        try:
            with transaction.atomic():
                user = User.objects.create_user(user.username, password=password, role=role)
                record_event(
                    "user",
                    subject_id=user.pk,
                    kind="user_created",
                    actor=Actor(door="command"),
                    data={"username": user.username, "role": role},
                )
        except IntegrityError as error:
            raise CommandError(
                f"There is a user {user.username} already; set_role changes the role."
            ) from error
        self.stderr.write(
            f"Added {user.username} as {role}{'' if password else _TOKENS_ONLY}.",
            self.style.SUCCESS,
        )


def _read_password(*, from_stdin: bool) -> str | None:
    """One line of stdin; or asked for twice at a terminal; else none."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandError("No password came on stdin.")
        return password
    if not sys.stdin.isatty():
        return None
    password = getpass.getpass("Password (empty: none): ")
    if password and getpass.getpass("Again: ") != password:
        raise CommandError("The two passwords differ.")
    return password or None


def _validate(check: Any, *args: Any, **kwargs: Any) -> None:
    try:
        check(*args, **kwargs)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
