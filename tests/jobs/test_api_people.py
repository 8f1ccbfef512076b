"""Tokens and secrets over the API: shown once or never, no more than their maker may, ended at once."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from buildboard.core.auth import create_token
from buildboard.core.crypto import decrypt
from buildboard.core.models import ApiToken, Event
from buildboard.core.permissions import Role
from jobs.models import Secret
from tests.api import BUILD_JOBS, ApiClient, assert_error, sign_in
from tests.factories import make_user

# Not random: the names of tests are the same in every process.
UNKNOWN_ID = "7c333433-f38f-45e5-ab26-6ec1d9e7fdff"
pytestmark = pytest.mark.django_db
TOKENS = "/api/v1/tokens"
SECRETS = "/api/v1/secrets"


def _bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


# ---- tokens ---------------------------------------------------------------------------------------------
def test_token_is_shown_once_and_works() -> None:
    api = ApiClient(Role.SUBMITTER)
    expires_at = (timezone.now() + timedelta(days=7)).replace(microsecond=0)

    body = {"name": "ci", "scopes": ["submit", "read"], "expires_at": expires_at.isoformat()}
    made = api.post(TOKENS, body).json()

    text = made.pop("token")
    assert _bearer(text).get(BUILD_JOBS).status_code == 200
    assert (made["name"], made["scopes"]) == ("ci", ["read", "submit"])
    assert made["expires_at"] == expires_at.isoformat().replace("+00:00", ".000000Z")[:19] + "Z"
    listed = api.get(TOKENS)
    assert text.encode() not in listed.content
    assert [row["name"] for row in listed.json()] == ["ci", "test"]
    assert not ApiToken.objects.filter(secret_hash__contains=text[-20:]).exists()


def test_only_ones_own_tokens_are_listed() -> None:
    create_token(make_user(Role.ADMIN), name="other", scopes=["read"])

    rows = ApiClient(Role.VIEWER).get(TOKENS).json()

    assert [row["name"] for row in rows] == ["test"]


def test_ended_token_is_dead_at_once() -> None:
    api = ApiClient(Role.VIEWER)
    made = api.post(TOKENS, {"name": "short"}).json()

    assert api.delete(f"{TOKENS}/{made['id']}").status_code == 204

    assert_error(_bearer(made["token"]).get(BUILD_JOBS), 401)
    assert_error(api.delete(f"{TOKENS}/{made['id']}"), 404)
    assert [row["name"] for row in api.get(TOKENS).json()] == ["test"]


def test_token_can_end_itself() -> None:
    api = ApiClient(Role.VIEWER)
    own = ApiToken.objects.get(user=api.user)

    assert api.delete(f"{TOKENS}/{own.pk}").status_code == 204
    assert_error(api.get(BUILD_JOBS), 401)


def test_tokens_of_others_are_not_found_but_for_admins_in_the_browser() -> None:
    token, _ = create_token(make_user(Role.VIEWER), name="lost", scopes=["read"])

    assert_error(ApiClient(Role.OPERATOR).delete(f"{TOKENS}/{token.pk}"), 404)
    # No scope gives an admin's right: it takes a session.
    assert_error(ApiClient(Role.ADMIN).delete(f"{TOKENS}/{token.pk}"), 404)
    admin = sign_in(Client(), make_user(Role.ADMIN))
    token.refresh_from_db()
    assert token.revoked_at is None
    assert admin.delete(f"{TOKENS}/{token.pk}").status_code == 204
    token.refresh_from_db()
    assert token.revoked_at is not None


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.VIEWER, ["submit"]),
        (Role.VIEWER, ["read", "operate"]),
        (Role.SUBMITTER, ["operate"]),
    ],
)
def test_token_gives_no_more_than_its_maker_may(role: str, scopes: list[str]) -> None:
    api = ApiClient(role)

    assert_error(api.post(TOKENS, {"name": "more", "scopes": scopes}), 422, fields=["scopes"])
    assert ApiToken.objects.count() == 1


def test_token_makes_no_token_that_may_more_or_lasts_longer() -> None:
    user = make_user(Role.OPERATOR)
    end = timezone.now() + timedelta(hours=1)
    token, text = create_token(user, name="short", scopes=["read"], expires_at=end)
    stronger, _ = create_token(user, name="strong", scopes=["operate"])
    client = _bearer(text)

    def post(**fields: Any) -> Any:
        return client.post(TOKENS, {"name": "x", **fields}, content_type="application/json")

    assert_error(post(scopes=["operate"], expires_at=end.isoformat()), 422, fields=["scopes"])
    assert_error(post(), 422, fields=["expires_at"])
    assert_error(post(expires_at=(end + timedelta(seconds=1)).isoformat()), 422, fields=["expires_at"])
    assert_error(client.delete(f"{TOKENS}/{stronger.pk}"), 403)
    assert post(expires_at=end.isoformat()).status_code == 201
    assert token.name == "short"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", " ", "x" * 101, "a\nb", "\x1b[0m")],
        *[("scopes", value) for value in ("", "read", "admin")],
        *[("expires_at", value) for value in ("x", "2020-01-01", "9999-12-31T23:59-23:00", "")],
        ("user", "admin"),
    ],
)
def test_token_field_that_does_not_fit_is_named(field: str, value: str) -> None:
    response = ApiClient(Role.ADMIN).post(TOKENS, {"name": "x", "scopes": ["read"]} | {field: value})

    assert_error(response, 422, fields=[field])
    assert ApiToken.objects.count() == 1


def test_scopes_that_are_none() -> None:
    api = ApiClient(Role.ADMIN)

    for scopes in ([], ["admin"], ["read", "read", "read", "read"], [1], None):
        assert_error(api.post(TOKENS, {"name": "x", "scopes": scopes}), 422)
    assert not ApiToken.objects.filter(name="x").exists()


# ---- secrets --------------------------------------------------------------------------------------------
def test_secret_is_stored_encrypted_and_never_shown() -> None:
    api = ApiClient(Role.OPERATOR)

    made = api.post(SECRETS, {"name": "TOKEN", "value": "hunter2hunter2"})

    secret = Secret.objects.get()
    assert made.status_code == 201
    assert decrypt(secret.encrypted_value, record="TOKEN") == "hunter2hunter2"
    listed = api.get(SECRETS)
    assert listed.json() == [made.json()]
    assert set(made.json()) == {"name", "created_by", "created_at", "updated_at"}
    assert b"hunter2" not in made.content + listed.content
    assert "hunter2" not in str(list(Event.objects.values_list("data", "reason")))


def test_secret_is_replaced_and_removed() -> None:
    api = ApiClient(Role.OPERATOR)
    api.post(SECRETS, {"name": "TOKEN", "value": "hunter2hunter2"})

    assert api.post(SECRETS, {"name": "TOKEN", "value": "another value\nof two lines"}).status_code == 200
    assert decrypt(Secret.objects.get().encrypted_value, record="") == "another value\nof two lines"
    assert api.delete(f"{SECRETS}/TOKEN").status_code == 204
    assert_error(api.delete(f"{SECRETS}/TOKEN"), 404)
    kinds = Event.objects.filter(subject_type="secret").values_list("kind", flat=True)
    assert list(kinds) == ["secret_stored", "secret_replaced", "secret_removed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", "lower", "A-B", "A\n", "PATH", "LD_X", "GIT_X", "A" * 101, "É")],
        *[("value", value) for value in ("", "abc", "   a   ", "x" * 65_537, "ü" * 40_000)],
        ("id", "x"),
    ],
)
def test_secret_field_that_does_not_fit_is_named(field: str, value: str) -> None:
    body = {"name": "TOKEN", "value": "hunter2hunter2"} | {field: value}

    response = ApiClient(Role.OPERATOR).post(SECRETS, body)

    assert_error(response, 422, fields=[field])
    assert b"hunter2" not in response.content
    assert not Secret.objects.exists()


@pytest.mark.parametrize("name", ["x", "\0", "A" * 5000, "é", "' OR 1=1", "a%2Fb", UNKNOWN_ID])
def test_unknown_secret_is_not_found(name: str) -> None:
    assert_error(ApiClient(Role.OPERATOR).delete(f"{SECRETS}/{quote(name)}"), 404)


def test_secrets_come_in_pages_by_name() -> None:
    api = ApiClient(Role.OPERATOR)
    for name in ("C", "A", "B"):
        api.post(SECRETS, {"name": name, "value": "hunter2hunter2"})

    first = api.get(f"{SECRETS}?limit=2")
    second = api.get(first["Link"].partition("<http://testserver")[2].partition(">")[0])

    assert [row["name"] for row in first.json() + second.json()] == ["A", "B", "C"]
    assert "Link" not in second
