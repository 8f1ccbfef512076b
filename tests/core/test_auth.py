"""Tokens and principals: made, looked up, ended; for requests and for sockets."""

import re
from datetime import timedelta
from importlib import import_module

import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.auth import (
    NOBODY,
    Principal,
    authenticate_token,
    bearer_of,
    create_token,
    may_grant,
    principal_of_scope,
    revoke_token,
    still_allowed,
)
from buildboard.core.models import ApiToken, Event, User
from buildboard.core.permissions import Right, Role, Scope
from tests.factories import make_user

pytestmark = pytest.mark.django_db
READING = {Right.PUBLIC, Right.READ, Right.SIGNED_IN}


def session_scope(user: User) -> dict[str, object]:
    client = Client()
    client.force_login(user)
    cookie = f"theme=dark; {django_settings.SESSION_COOKIE_NAME}={client.session.session_key}"
    return {"type": "websocket", "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())]}


def bearer_scope(text: str) -> dict[str, object]:
    return {"type": "websocket", "headers": [(b"authorization", f"Bearer {text}".encode())]}


def test_a_token_is_shown_once_and_kept_as_a_hash() -> None:
    user = make_user(Role.SUBMITTER)

    token, text = create_token(user, name="laptop", scopes=["submit", "read"], actor=Actor("ann", "page"))

    assert re.fullmatch(r"bb_[0-9a-f]{32}_[A-Za-z0-9_-]{43}", text)
    assert text.split("_")[1] == token.pk.hex
    stored = ApiToken.objects.values().get()
    assert text[36:] not in str(stored)
    assert stored["scopes"] == ["read", "submit"]
    event = Event.objects.get()
    assert (event.kind, event.actor, event.door, event.subject_id) == (
        "token_created", "ann", "page", str(token.pk),
    )  # fmt: skip
    assert text[36:] not in str(event.data)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "admin"]])
def test_a_token_without_or_with_unknown_scopes_is_refused(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="a token needs scopes out of read, submit, operate"):
        create_token(make_user(), name="x", scopes=scopes)

    assert ApiToken.objects.count() == 0


def test_a_token_stands_for_its_user_with_the_rights_of_its_scopes() -> None:
    user = make_user(Role.ADMIN, username="ann")
    token, text = create_token(user, name="x", scopes=["read"])

    principal = authenticate_token(text)

    assert principal == Principal(user, frozenset(READING), name="ann", door="api", token_id=token.pk)


def test_the_same_id_with_another_secret_is_nobody() -> None:
    _, text = create_token(make_user(), name="x", scopes=["read"])
    changed = text[:-1] + ("A" if text[-1] != "A" else "B")

    assert authenticate_token(changed) is None
    assert authenticate_token(text + "A") is None
    assert authenticate_token(text + "\n") is None
    assert authenticate_token(text.replace("bb_", "bbo_", 1)) is None
    assert authenticate_token("bb_" + "0" * 32 + "_" + "A" * 43) is None


def test_use_is_noted_at_most_once_a_minute() -> None:
    token, text = create_token(make_user(), name="x", scopes=["read"])

    authenticate_token(text)
    first = ApiToken.objects.get().last_used_at
    with CaptureQueriesContext(connection) as queries:
        authenticate_token(text)

    assert first is not None
    assert ApiToken.objects.get().last_used_at == first
    assert len(queries) == 1
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=first - timedelta(seconds=61))
    authenticate_token(text)
    assert (ApiToken.objects.get().last_used_at or first) > first - timedelta(seconds=61)


def test_revoking_twice_records_once() -> None:
    token, text = create_token(make_user(username="bob"), name="x", scopes=["read"])

    answers = [revoke_token(token, actor=Actor("ann", "admin")) for _ in range(2)]

    assert answers == [True, False]
    assert authenticate_token(text) is None
    event = Event.objects.get(kind="token_revoked")
    assert (event.actor, event.door, event.data) == ("ann", "admin", {"user": "bob", "name": "x"})


def test_nobody_grants_more_than_they_may() -> None:
    viewer = Principal(make_user(), frozenset(READING))

    assert may_grant(viewer, ["read"])
    assert not may_grant(viewer, ["read", "submit"])
    assert not may_grant(viewer, ["no such scope"])


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (None, None),
        ("", None),
        ("Basic x", None),
        ("Bearer", ""),
        ("bearer  abc ", "abc"),
        ("BEARER a b", "a b"),
        ("Bearerabc", None),
    ],
)
def test_the_bearer_is_read_out_of_the_header(header: str | None, credential: str | None) -> None:
    assert bearer_of(header) == credential


# ---- sockets --------------------------------------------------------------------------------------------


def test_a_socket_is_opened_by_session_or_bearer() -> None:
    user = make_user(Role.VIEWER, username="ann")
    _, text = create_token(user, name="x", scopes=["read"])

    by_session, by_token = principal_of_scope(session_scope(user)), principal_of_scope(bearer_scope(text))

    assert (by_session.user, by_session.rights, by_session.door) == (user, frozenset(READING), "page")
    assert (by_token.user, by_token.rights, by_token.door) == (user, frozenset(READING), "api")


@pytest.mark.parametrize("public_read", [False, True])
def test_a_socket_without_credentials_is_a_visitor(public_read: bool, settings: LazySettings) -> None:
    settings.PUBLIC_READ = public_read
    unknown = f"{django_settings.SESSION_COOKIE_NAME}=zzzzzzzz; =; a"

    found = [
        principal_of_scope({"headers": []}),
        principal_of_scope({"headers": [(b"cookie", unknown.encode())]}),
    ]

    assert {principal.may(Right.READ) for principal in found} == {public_read}
    assert {still_allowed(principal) for principal in found} == {public_read}


def test_a_socket_with_a_bad_bearer_has_no_rights_even_under_public_read(settings: LazySettings) -> None:
    settings.PUBLIC_READ = True

    assert principal_of_scope(bearer_scope("bb_bad")) is NOBODY
    assert not still_allowed(NOBODY)


def test_a_socket_closes_when_its_session_ends() -> None:
    user = make_user()
    client = Client()
    client.force_login(user)
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={client.session.session_key}".encode()
    principal = principal_of_scope({"headers": [(b"cookie", cookie)]})
    assert still_allowed(principal)

    client.post("/logout/")

    assert not still_allowed(principal)


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": Role.VIEWER}], ids=["disabled", "demoted"])
def test_an_open_socket_loses_its_right_with_its_user(change: dict[str, object]) -> None:
    user = make_user(Role.OPERATOR)
    _, text = create_token(user, name="x", scopes=Scope.values)
    opened = [principal_of_scope(session_scope(user)), principal_of_scope(bearer_scope(text))]
    assert [still_allowed(principal, right=Right.OPERATE) for principal in opened] == [True, True]

    User.objects.filter(pk=user.pk).update(**change)

    assert [still_allowed(principal, right=Right.OPERATE) for principal in opened] == [False, False]
    assert {still_allowed(principal) for principal in opened} == {user.pk is not None and "role" in change}


@pytest.mark.parametrize("field", ["revoked_at", "expires_at"])
def test_an_open_socket_closes_when_its_token_ends(field: str) -> None:
    token, text = create_token(make_user(), name="x", scopes=["read"])
    principal = principal_of_scope(bearer_scope(text))

    ApiToken.objects.filter(pk=token.pk).update(**{field: timezone.now() - timedelta(seconds=1)})

    assert not still_allowed(principal)


def test_a_changed_password_ends_the_other_sessions() -> None:
    user = make_user(password="first-pass-44")
    scope = session_scope(user)
    principal = principal_of_scope(scope)

    user.set_password("second-pass-44")
    user.save(update_fields=["password"])

    assert not still_allowed(principal)


def test_a_session_of_a_deleted_user_is_a_visitor() -> None:
    user = make_user()
    scope = session_scope(user)
    store = import_module(django_settings.SESSION_ENGINE).SessionStore

    user.delete()

    assert principal_of_scope(scope).user is None
    assert store.get_model_class().objects.count() == 1


def test_a_session_cookie_that_no_database_could_hold_is_a_visitors() -> None:
    cookie = f'{django_settings.SESSION_COOKIE_NAME}="\\000{"a" * 31}"'

    response = Client().get("/tokens/", headers={"cookie": cookie})
    principal = principal_of_scope({"type": "websocket", "headers": [(b"cookie", cookie.encode())]})

    assert (response.status_code, response.headers["Location"]) == (302, "/login/?next=/tokens/")
    assert (principal.user, principal.session_key) == (None, "")
