"""The gate before every view: who is let through, and what the others get."""

import logging
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from buildboard.core.auth import create_token
from buildboard.core.models import ApiToken, User
from buildboard.core.permissions import Right, Role, Scope
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.core.urls")]

ALLOWED: dict[str | None, set[Right]] = {
    None: {Right.PUBLIC},
    Role.VIEWER: {Right.PUBLIC, Right.READ, Right.SIGNED_IN},
    Role.SUBMITTER: {Right.PUBLIC, Right.READ, Right.SIGNED_IN, Right.SUBMIT},
    Role.OPERATOR: {Right.PUBLIC, Right.READ, Right.SIGNED_IN, Right.SUBMIT, Right.OPERATE},
    Role.ADMIN: set(Right),
}


def signed_in(role: str | None) -> Client:
    client = Client()
    if role:
        client.force_login(make_user(role))
    return client


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def make_token(role: str, *scopes: str, **fields: object) -> tuple[User, str]:
    user = make_user(role)
    token, text = create_token(user, name="test", scopes=scopes or Scope.values)
    ApiToken.objects.filter(pk=token.pk).update(**fields) if fields else None
    return user, text


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("right", Right)
def test_a_session_reaches_exactly_what_its_role_allows(role: str | None, right: Right) -> None:
    client = signed_in(role)

    page, api = client.get(f"/test/{right}"), client.get(f"/api/test/{right}")

    if right in ALLOWED[role]:
        assert (page.status_code, api.status_code) == (200, 200)
    elif role is None:
        assert (page.status_code, page.headers["Location"]) == (302, f"/login/?next=/test/{right}")
        assert (api.status_code, api.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert api.json()["code"] == "unauthorized"
    else:
        assert (page.status_code, api.status_code) == (403, 403)
        assert api.json()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("role", "scopes", "expected"),
    [
        (Role.ADMIN, [Scope.READ], ALLOWED[Role.VIEWER]),
        (Role.ADMIN, [Scope.SUBMIT], ALLOWED[Role.SUBMITTER]),
        (Role.ADMIN, Scope.values, ALLOWED[Role.OPERATOR]),
        (Role.VIEWER, Scope.values, ALLOWED[Role.VIEWER]),
    ],
)
def test_a_token_reaches_what_its_scopes_and_its_users_role_both_allow(
    role: str, scopes: list[str], expected: set[Right]
) -> None:
    _, text = make_token(role, *scopes)

    reached = {
        right
        for right in Right
        if Client().get(f"/api/test/{right}", headers=bearer(text)).status_code == 200
    }

    assert reached == expected


def test_reading_is_open_to_visitors_under_public_read(settings: LazySettings) -> None:
    settings.PUBLIC_READ = True

    reached = {right for right in Right if Client().get(f"/api/test/{right}").status_code == 200}

    assert reached == {Right.PUBLIC, Right.READ}


@pytest.mark.parametrize(
    "fields",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"secret_hash": "0" * 64},
    ],
    ids=["revoked", "expired", "another secret"],
)
def test_a_token_that_is_no_good_is_401_on_both_doors(
    fields: dict[str, object], settings: LazySettings
) -> None:
    settings.PUBLIC_READ = True
    _, text = make_token(Role.ADMIN, **fields)

    api = Client().get("/api/test/read", headers=bearer(text))
    page = Client().get("/test/read", headers=bearer(text))

    assert (api.status_code, page.status_code) == (401, 401)
    assert api.json() == {
        "detail": "This token is unknown, has expired or was revoked. Make a new one at /tokens/.",
        "code": "unauthorized",
    }
    assert api.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "text", ["", "x", "bb_", "Bearer", "bbo_" + "0" * 32 + "_" + "A" * 43, "bb_" + "0" * 400]
)
def test_a_bearer_that_is_not_a_token_is_401(text: str) -> None:
    answered = Client().get("/api/test/read", headers=bearer(text))

    assert (answered.status_code, answered.json()["code"]) == (401, "unauthorized")
    assert answered.headers["WWW-Authenticate"] == "Bearer"


def test_another_authorization_scheme_is_no_credential_of_ours() -> None:
    client = signed_in(Role.VIEWER)

    answered = client.get("/api/test/read", headers={"Authorization": "Basic eDp5"})

    assert answered.status_code == 200


def test_disabling_a_user_ends_sessions_and_tokens_at_once() -> None:
    user, text = make_token(Role.VIEWER)
    client = Client()
    client.force_login(user)
    assert client.get("/api/test/read").status_code == 200

    User.objects.filter(pk=user.pk).update(is_active=False)

    assert client.get("/api/test/read").status_code == 401
    assert Client().get("/api/test/read", headers=bearer(text)).status_code == 401


def test_a_role_taken_away_counts_at_the_next_request() -> None:
    user, text = make_token(Role.OPERATOR)
    client = Client()
    client.force_login(user)
    assert client.get("/api/test/operate").status_code == 200

    User.objects.filter(pk=user.pk).update(role=Role.VIEWER)

    assert client.get("/api/test/operate").status_code == 403
    assert Client().get("/api/test/operate", headers=bearer(text)).status_code == 403


@pytest.mark.parametrize("path", ["/test/undeclared", "/api/test/undeclared"])
def test_a_route_without_a_declared_right_is_refused_to_admins_too(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="buildboard.core.access"):
        answered = signed_in(Role.ADMIN).get(path)

    assert answered.status_code == 403
    assert [record.getMessage() for record in caplog.records] == ["a route without a declared right"]


def test_a_view_with_credentials_of_its_own_is_left_to_itself() -> None:
    answered = Client().get("/api/test/internal", headers=bearer("bbo_x"))

    assert (answered.status_code, answered.content) == (200, b"internal")


def test_htmx_is_told_to_go_to_the_sign_in_page() -> None:
    answered = Client().get("/test/read", headers={"HX-Request": "true"})

    assert (answered.status_code, answered.headers["HX-Redirect"], answered.content) == (401, "/login/", b"")


def test_a_post_of_a_visitor_does_not_come_back_as_a_get() -> None:
    assert Client().post("/test/submit").headers["Location"] == "/login/?next=/"


def test_the_api_wants_a_csrf_token_from_a_session_and_none_from_a_bearer() -> None:
    user, text = make_token(Role.ADMIN)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.get("/login/")
    url = "/api/v1/tokens"
    body = {"name": "made", "scopes": ["read"]}

    without = client.post(url, body, content_type="application/json")
    with_bearer = Client(enforce_csrf_checks=True).post(
        url, body, content_type="application/json", headers=bearer(text)
    )

    assert (without.status_code, without.json()["code"]) == (403, "csrf")
    assert with_bearer.status_code == 201


def test_a_method_that_an_operation_does_not_have_is_405_in_json() -> None:
    answered = signed_in(Role.ADMIN).delete("/api/v1/tokens")

    assert (answered.status_code, answered.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert answered.json() == {"detail": "Use GET or HEAD or POST here.", "code": "method_not_allowed"}


def test_answers_are_kept_out_of_caches_unless_public() -> None:
    visitor, viewer = Client(), signed_in(Role.VIEWER)

    kept = {
        "signed in": viewer.get("/test/read").headers["Cache-Control"],
        "api": visitor.get("/api/test/public").headers["Cache-Control"],
        "visitor": visitor.get("/test/public").headers["Cache-Control"],
        "public": visitor.get("/test/cached").headers["Cache-Control"],
        "refused": visitor.get("/api/test/read").headers["Cache-Control"],
    }

    assert kept.pop("public") == "max-age=60"
    assert set(kept.values()) == {"no-store"}
    assert viewer.get("/test/read").headers["Vary"] == "Authorization, Cookie, HX-Request"


def test_every_answer_carries_the_guards_of_the_browser() -> None:
    headers = Client().get("/test/public").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=()"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
