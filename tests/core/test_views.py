"""Signing in and out, and one's own tokens in the browser."""

import logging
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from buildboard.core.auth import authenticate_token, create_token
from buildboard.core.models import ApiToken, Event, User
from buildboard.core.permissions import Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-44"


@pytest.fixture(autouse=True)
def quick_hashes(request: pytest.FixtureRequest, settings: LazySettings) -> None:
    """Argon2 is slow by design; one test keeps it."""
    if request.function is not test_signing_in_and_out:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_in(client: Client, username: str, password: str = PASSWORD, **fields: str) -> int:
    data = {"username": username, "password": password, **fields}
    return client.post("/login/", data, REMOTE_ADDR=fields.get("address", "192.0.2.1")).status_code


def test_signing_in_and_out() -> None:
    user = make_user(Role.VIEWER, username="ann", password=PASSWORD)
    assert user.password.startswith("argon2$argon2id$")
    client = Client()

    answered = client.post("/login/", {"username": "ann", "password": PASSWORD, "next": "/tokens/"})

    assert (answered.status_code, answered.headers["Location"]) == (302, "/tokens/")
    assert client.get("/tokens/").context["user"] == user
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/tokens/").headers["Location"] == "/login/?next=/tokens/"


def test_the_session_gets_a_new_key_at_sign_in() -> None:
    make_user(username="ann", password=PASSWORD)
    client = Client()
    client.get("/login/")
    session = client.session
    session["planted"] = "x"
    session.save()
    before = session.session_key

    sign_in(client, "ann")

    assert client.session.session_key != before


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example/", "https:///evil.example", "/\\evil.example", "javascript:a"],
)
def test_next_leads_nowhere_else(target: str) -> None:
    make_user(username="ann", password=PASSWORD)
    client = Client()

    answered = client.post("/login/", {"username": "ann", "password": PASSWORD, "next": target})
    again = client.get("/login/", {"next": target})

    assert (answered.status_code, answered.headers["Location"]) == (302, "/")
    assert again.headers["Location"] == "/"


def test_next_cannot_carry_a_header() -> None:
    make_user(username="ann", password=PASSWORD)

    answered = Client().post(
        "/login/", {"username": "ann", "password": PASSWORD, "next": "/x\r\nSet-Cookie: a=b"}
    )

    assert "a" not in answered.cookies
    assert "\n" not in answered.headers["Location"]


def test_a_get_does_not_sign_out() -> None:
    client = Client()
    client.force_login(make_user())

    assert client.get("/logout/").status_code == 405
    assert client.get("/tokens/").status_code == 200


@pytest.mark.parametrize(
    ("username", "password"),
    [("ann", "wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("nopass", PASSWORD)],
)
def test_the_form_says_the_same_whatever_was_wrong(username: str, password: str) -> None:
    make_user(username="ann", password=PASSWORD)
    make_user(username="off", password=PASSWORD, is_active=False)
    make_user(username="nopass")
    client = Client()

    answered = client.post("/login/", {"username": username, "password": password})

    assert answered.status_code == 200
    assert answered.context["form"].non_field_errors() == [
        "Name and password do not fit together. Upper and lower case count in both."
    ]


def test_ten_wrong_passwords_lock_this_name_from_this_address_only() -> None:
    make_user(username="ann", password=PASSWORD)
    make_user(username="bob", password=PASSWORD)

    tries = [sign_in(Client(), "ann", "wrong") for _ in range(10)]
    locked = Client().post("/login/", {"username": "ann", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1")

    assert tries == [200] * 9 + [429]
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "900")
    assert sign_in(Client(), "bob") == 302
    assert sign_in(Client(), "ann", address="192.0.2.2") == 302


def test_a_forwarded_address_of_a_stranger_does_not_evade_the_lock() -> None:
    make_user(username="ann", password=PASSWORD)

    statuses = [
        Client()
        .post(
            "/login/",
            {"username": "ann", "password": "wrong"},
            REMOTE_ADDR="192.0.2.1",
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
        )
        .status_code
        for number in range(11)
    ]

    assert statuses[-1] == 429


def test_signing_in_in_time_starts_the_count_again() -> None:
    make_user(username="ann", password=PASSWORD)

    statuses = [sign_in(Client(), "ann", "wrong") for _ in range(9)]
    statuses += [sign_in(Client(), "ann")]
    statuses += [sign_in(Client(), "ann", "wrong") for _ in range(9)]

    assert statuses == [200] * 9 + [302] + [200] * 9


def test_a_name_with_line_ends_makes_one_log_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answered = Client().post("/login/", {"username": "ann\r\nINFO fake", "password": "x"})

    assert answered.status_code == 200
    handler = logging.getLogger().handlers[0]
    assert [line for record in caplog.records for line in handler.format(record).splitlines()[1:]] == []


# ---- tokens ---------------------------------------------------------------------------------------------


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_new_token_is_shown_in_the_answer_and_never_again() -> None:
    user = make_user(Role.SUBMITTER)
    client = client_of(user)

    made = client.post("/tokens/", {"name": "laptop", "scopes": ["read", "submit"], "expires_in_days": "30"})
    later = client.get("/tokens/")

    text = made.context["new_token"]
    principal = authenticate_token(text)
    assert principal is not None
    assert principal.user == user
    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    assert text in made.content.decode()
    assert text not in later.content.decode()
    token = ApiToken.objects.get()
    assert (token.name, token.scopes) == ("laptop", ["read", "submit"])
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert list(later.context["tokens"]) == [token]


@pytest.mark.parametrize(
    "data",
    [
        {"name": "", "scopes": ["read"]},
        {"name": "x" * 101, "scopes": ["read"]},
        {"name": "a\x00", "scopes": ["read"]},
        {"name": "x"},
        {"name": "x", "scopes": ["admin"]},
        {"name": "x", "scopes": ["operate"]},
        {"name": "x", "scopes": ["read"], "expires_in_days": "0"},
        {"name": "x", "scopes": ["read"], "expires_in_days": "9" * 400},
        {"name": "x", "scopes": ["read"], "expires_in_days": "soon"},
    ],
)
def test_a_token_that_does_not_fit_is_not_made(data: dict[str, object]) -> None:
    answered = client_of(make_user(Role.SUBMITTER)).post("/tokens/", data)

    assert answered.status_code == 422
    assert (answered.context["form"].is_valid(), answered.context["new_token"]) == (False, "")
    assert ApiToken.objects.count() == 0


def test_only_ones_own_tokens_are_seen_and_revoked() -> None:
    ann, bob = make_user(username="ann"), make_user(Role.ADMIN, username="bob")
    hers, text = create_token(ann, name="hers", scopes=["read"])
    his, _ = create_token(bob, name="his", scopes=["read"])
    client = client_of(ann)

    foreign = client.post(f"/tokens/{his.pk}/revoke/")
    own = client.post(f"/tokens/{hers.pk}/revoke/")

    assert foreign.status_code == 404
    assert (own.status_code, own.headers["Location"]) == (302, "/tokens/")
    assert ApiToken.objects.get(revoked_at__isnull=True) == his
    assert authenticate_token(text) is None
    assert list(client.get("/tokens/").context["tokens"]) == [hers]
    assert list(Event.objects.filter(kind="token_revoked").values_list("actor", "door")) == [("ann", "page")]


def test_a_revocation_needs_a_post() -> None:
    user = make_user()
    token, _ = create_token(user, name="x", scopes=["read"])

    asked = client_of(user).get(f"/tokens/{token.pk}/revoke/")

    assert asked.status_code == 200
    assert "Revoke “x”?" in asked.content.decode()
    assert ApiToken.objects.filter(revoked_at__isnull=True).count() == 1


def test_nobody_is_asked_about_anothers_token() -> None:
    token, _ = create_token(make_user(), name="x", scopes=["read"])

    assert client_of(make_user()).get(f"/tokens/{token.pk}/revoke/").status_code == 404


def test_the_keys_are_a_page_for_everybody_and_a_dialog_on_each_other_page() -> None:
    page = Client().get("/keys/").content.decode()
    other = client_of(make_user()).get("/tokens/").content.decode()

    assert "Search the whole log" in page
    assert 'id="keys-dialog"' not in page
    assert other.count('id="keys-title"') == other.count('id="keys-dialog"') == 1


def test_a_token_cannot_use_the_page_to_make_a_stronger_one() -> None:
    _, text = create_token(make_user(Role.ADMIN), name="x", scopes=["read"])

    answered = Client().post(
        "/tokens/", {"name": "y", "scopes": ["operate"]}, headers={"Authorization": f"Bearer {text}"}
    )

    assert answered.status_code == 403
    assert ApiToken.objects.count() == 1
