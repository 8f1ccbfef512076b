"""The commands for people and tokens: what they make, print and refuse."""

import io
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.utils import timezone

from buildboard.core.auth import authenticate_token
from buildboard.core.models import ApiToken, Event, User
from buildboard.core.permissions import Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-44"
TOKENS_ONLY = ", without a password: tokens work, signing in only once an admin sets one in the admin site"


def run(*arguments: str) -> tuple[str, str]:
    """What a command writes to stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stdin that is no terminal; write into it what the command shall read."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdin", stream)
    return stream


def test_create_user_without_a_password(stdin: io.StringIO) -> None:
    out, err = run("create_user", "ann", "--role", "operator")

    user = User.objects.get()
    assert (out, err) == ("", f"Added ann as operator{TOKENS_ONLY}.\n")
    assert (user.username, user.role, user.is_active, user.has_usable_password()) == (
        "ann",
        "operator",
        True,
        False,
    )
    event = Event.objects.get()
    assert (event.kind, event.door, event.data) == (
        "user_created",
        "command",
        {"username": "ann", "role": "operator"},
    )


def test_create_user_with_a_password_from_stdin(stdin: io.StringIO) -> None:
    stdin.write(f"{PASSWORD}\nsecond line\n")
    stdin.seek(0)

    run("create_user", "ann", "--role", "viewer", "--password-stdin")

    assert (
        authenticate(RequestFactory().post("/login/"), username="ann", password=PASSWORD)
        == User.objects.get()
    )
    assert stdin.readline() == "second line\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "No password came on stdin."),
        ("\n", "No password came on stdin."),
        ("short\n", "This password is too short. It must contain at least 8 characters."),
        ("password1\n", "This password is too common."),
        ("annabella1\n", "The password is too similar to the username."),
    ],
)
def test_create_user_refuses_a_bad_password(line: str, why: str, stdin: io.StringIO) -> None:
    stdin.write(line)
    stdin.seek(0)

    assert refused("create_user", "annabella", "--role", "viewer", "--password-stdin") == why
    assert User.objects.count() == 0


@pytest.mark.parametrize("username", ["", "a b", "a/b", "a\nb", "x" * 151, "-\x00"])
def test_create_user_refuses_a_bad_name(username: str, stdin: io.StringIO) -> None:
    assert refused("create_user", "--role=viewer", "--", username)
    assert User.objects.count() == 0


def test_create_user_refuses_a_name_that_is_taken_in_any_spelling(stdin: io.StringIO) -> None:
    make_user(username="ﬁn".replace("ﬁ", "fi"))

    assert (
        refused("create_user", "ﬁn", "--role", "viewer")
        == "There is a user fin already; set_role changes the role."
    )


def test_create_user_refuses_an_unknown_role() -> None:
    assert "invalid choice: 'boss'" in refused("create_user", "ann", "--role", "boss")
    assert "--role" in refused("create_user", "ann")


def test_set_role_changes_it_and_records_it() -> None:
    make_user(Role.VIEWER, username="ann")

    first, second = run("set_role", "ann", "operator"), run("set_role", "ann", "operator")

    assert (first, second) == (("", "ann is operator now.\n"), ("", "ann is operator already.\n"))
    assert User.objects.get().role == Role.OPERATOR
    event = Event.objects.get()
    assert (event.kind, event.from_state, event.to_state, event.door) == (
        "role_changed", "viewer", "operator", "command",
    )  # fmt: skip


def test_set_role_keeps_the_last_admin() -> None:
    make_user(Role.ADMIN, username="ann")
    make_user(Role.ADMIN, username="off", is_active=False)

    assert refused("set_role", "ann", "viewer") == (
        "ann is the last active admin. Make somebody else admin first."
    )
    make_user(Role.ADMIN, username="bob")
    assert run("set_role", "ann", "viewer") == ("", "ann is viewer now.\n")


def test_set_role_refuses_an_unknown_name() -> None:
    assert refused("set_role", "nobody", "viewer") == "There is no user nobody; create_user adds one."


def test_create_token_prints_the_token_alone() -> None:
    user = make_user(Role.SUBMITTER, username="ann")

    out, err = run("create_token", "ann")

    text = out.removesuffix("\n")
    principal = authenticate_token(text)
    assert principal is not None
    assert principal.user == user
    assert err == "Token of ann (read, submit); it is not shown again:\n"
    token = ApiToken.objects.get()
    assert (token.name, token.scopes, token.expires_at) == ("command line", ["read", "submit"], None)


def test_create_token_takes_scopes_name_and_days() -> None:
    make_user(Role.ADMIN, username="ann")

    run("create_token", "ann", "--scope", "operate", "--scope", "read", "--name", "ci", "--expires", "7")

    token = ApiToken.objects.get()
    assert (token.name, token.scopes) == ("ci", ["read", "operate"])
    assert token.expires_at is not None
    assert timedelta(days=6) < token.expires_at - timezone.now() <= timedelta(days=7)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody"], "There is no active user nobody; create_user adds one."),
        (["off"], "There is no active user off; create_user adds one."),
        (["ann", "--expires", "0"], "--expires: must be from 1 to 3650 days."),
        (["ann", "--expires", "3651"], "--expires: must be from 1 to 3650 days."),
        (["ann", "--name", " "], "--name: must have from 1 to 100 characters."),
        (["ann", "--name", "x" * 101], "--name: must have from 1 to 100 characters."),
        (["ann", "--scope", "operate"], "--scope: operate goes beyond the role viewer of ann."),
    ],
)
def test_create_token_refuses(arguments: list[str], why: str) -> None:
    make_user(Role.VIEWER, username="ann")
    make_user(Role.VIEWER, username="off", is_active=False)

    assert refused("create_token", *arguments) == why
    assert ApiToken.objects.count() == 0


def test_webhook_secret_is_the_same_every_time_and_in_the_standard_form() -> None:
    first, second = run("webhook_secret"), run("webhook_secret")

    assert first == second
    assert first[0].startswith("whsec_")
    assert (len(first[0]), first[1]) == (len("whsec_") + 44 + 1, "")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [([PASSWORD, PASSWORD], "Added ann as viewer.\n"), ([""], f"Added ann as viewer{TOKENS_ONLY}.\n")],
)
def test_create_user_asks_at_a_terminal(
    typed: list[str], expected: str, stdin: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    answers = iter(typed)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))

    assert run("create_user", "ann", "--role", "viewer") == ("", expected)
    assert User.objects.get().check_password(PASSWORD) is bool(typed[0])


def test_create_user_refuses_two_passwords_that_differ(
    stdin: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    answers = iter([PASSWORD, PASSWORD + "x"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))

    assert refused("create_user", "ann", "--role", "viewer") == "The two passwords differ."
