"""Errors as JSON or page, the database being away, and who is at the other end."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_network

import pytest
from django.conf import LazySettings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from buildboard.core.auth import create_token
from buildboard.core.http import ForwardedHeadersMiddleware, client_address
from buildboard.core.models import Event
from tests.factories import make_user

factory = RequestFactory()
pytestmark = pytest.mark.urls("tests.core.urls")
AWAY = "The database does not answer just now. Try again in 5 seconds."
BROKEN = "Something went wrong on the board's side. It was recorded; try again, or tell an admin."
FULL = "The board's disk is full. An operator must make room; then try again."


# ---- what a view raised ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("away", 503, {"detail": AWAY, "code": "database_away"}),
        ("closed", 503, {"detail": AWAY, "code": "database_away"}),
        ("full", 507, {"detail": FULL, "code": "disk_full"}),
        ("nospace", 507, {"detail": FULL, "code": "disk_full"}),
        ("conflict", 409, {"detail": "It runs. Cancel it first.", "code": "conflict"}),
        (
            "invalid",
            422,
            {"detail": "See errors.", "code": "invalid", "errors": [{"field": "a", "message": "Too long."}]},
        ),
        ("denied", 403, {"detail": "Only on Mondays.", "code": "forbidden"}),
        ("missing", 404, {"detail": "There is nothing at this address.", "code": "not_found"}),
        ("odd", 400, {"detail": "This request could not be understood.", "code": "bad_request"}),
        (
            "bug",
            500,
            {"detail": BROKEN, "code": "internal_error"},
        ),
    ],
)
def test_an_error_is_json_under_api_and_a_page_elsewhere(name: str, status: int, body: object) -> None:
    client = Client(raise_request_exception=False)

    api, page = client.get(f"/api/test/raise/{name}"), client.get(f"/test/raise/{name}")

    assert (api.status_code, api.json()) == (status, body)
    assert api.headers["Content-Type"] == "application/json"
    assert page.status_code == status
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert {answer.headers["Cache-Control"] for answer in (api, page)} == {"no-store"}
    assert "secret detail" not in api.content.decode() + page.content.decode()


@pytest.mark.django_db
def test_headers_of_an_error_are_sent() -> None:
    assert Client().get("/api/test/raise/away").headers["Retry-After"] == "5"
    assert Client().get("/test/raise/away").headers["Retry-After"] == "5"
    assert Client().get("/api/test/raise/conflict").headers["X-Why"] == "runs"


@pytest.mark.django_db
def test_a_page_comes_back_by_itself_where_nothing_was_sent() -> None:
    pages = [ask("/test/raise/away").content.decode() for ask in (Client().get, Client().post)]

    assert [("js/return" in page, "Try again" in page) for page in pages] == [(True, True), (False, True)]


@pytest.mark.django_db
def test_a_mistake_in_a_query_is_not_taken_for_an_outage() -> None:
    answered = Client(raise_request_exception=False).get("/api/test/raise/mistake")

    assert answered.status_code == (500 if connection.vendor == "sqlite" else 503)


@pytest.mark.django_db
def test_an_unknown_address_is_json_under_api_and_a_page_elsewhere() -> None:
    api, page = Client().get("/api/v9/nothing"), Client().get("/nothing/<script>")

    assert (api.status_code, api.json()) == (
        404,
        {"detail": "There is nothing at this address.", "code": "not_found"},
    )
    assert page.status_code == 404
    assert b"<script>" not in page.content


@pytest.mark.django_db
def test_a_foreign_form_is_refused_in_words() -> None:
    client = Client(enforce_csrf_checks=True)

    page = client.post("/login/", {"username": "a", "password": "b"})

    assert page.status_code == 403
    assert "This form was too old or came from another site." in page.content.decode()


@pytest.mark.django_db
def test_a_form_that_is_too_large_is_413() -> None:
    answered = Client().post("/login/", {"username": "a" * 1_100_000, "password": "b"})

    assert answered.status_code == 413


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "a\tb"])
def test_an_address_that_is_not_ours_is_400_and_says_where_to_add_it(host: str) -> None:
    answered = Client().get("/api/v1/tokens", headers={"Host": host})

    assert (answered.status_code, answered.json()["detail"]) == (
        400,
        "The board does not answer to this name. An admin can add it to BUILDBOARD_ALLOWED_HOSTS.",
    )


# ---- a database that is really locked -------------------------------------------------------------------


@pytest.fixture
def locked_database(transactional_db: None) -> Iterator[None]:
    """Another process holds the write lock; SQLite waits 50 ms for it instead of seconds."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    connection.close()


@pytest.mark.sqlite_only
@pytest.mark.parametrize("path", ["/test/write", "/api/test/write", "/test/session"])
def test_a_locked_database_is_503_from_view_and_session_alike(locked_database: None, path: str) -> None:
    answered = Client(raise_request_exception=False).get(path)

    assert (answered.status_code, answered.headers["Retry-After"]) == (503, "5")
    assert Event.objects.count() == 0


@pytest.mark.sqlite_only
def test_signing_in_while_the_database_is_locked_is_503(
    transactional_db: None, locked_database: None
) -> None:
    answered = Client(raise_request_exception=False).post("/login/", {"username": "a", "password": "b"})

    assert (answered.status_code, answered.headers["Retry-After"]) == (503, "5")


@pytest.fixture
def token_of_ann(transactional_db: None) -> str:
    return create_token(make_user(username="ann"), name="x", scopes=["read"])[1]


@pytest.mark.sqlite_only
def test_a_token_reads_on_while_nothing_can_be_written(token_of_ann: str, locked_database: None) -> None:
    answered = Client().get("/api/test/read", headers={"Authorization": f"Bearer {token_of_ann}"})

    assert (answered.status_code, answered.content) == (200, b"ann")


# ---- who is at the other end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "expected"),
    [
        ("203.0.113.9", None, [], "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", [], "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", ["10.0.0.0/8"], "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", ["10.0.0.0/8"], "10.0.0.3"),
        ("10.0.0.1", "6.6.6.6, nonsense", ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:5555", ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:80", ["10.0.0.0/8"], "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", ["10.0.0.0/8"], "198.51.100.1"),
        ("::1", "2001:db8::1", ["::1/128"], "2001:db8::1"),
        ("10.0.0.1", "", ["10.0.0.0/8"], "10.0.0.1"),
        ("", "198.51.100.1", ["10.0.0.0/8"], ""),
        (None, "198.51.100.1", ["10.0.0.0/8"], ""),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_trusted_proxy(
    remote: str | None, forwarded: str | None, proxies: list[str], expected: str, settings: LazySettings
) -> None:
    settings.TRUSTED_PROXIES = tuple(ip_network(proxy) for proxy in proxies)
    request = factory.get("/")
    request.META["REMOTE_ADDR"] = remote
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded

    assert client_address(request) == expected


@pytest.mark.parametrize(("remote", "secure"), [("10.0.0.1", True), ("203.0.113.9", False)])
def test_forwarded_headers_count_from_trusted_proxies_only(
    remote: str, secure: bool, settings: LazySettings
) -> None:
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["board.example.org", "testserver"]
    seen: list[tuple[bool, str]] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append((request.is_secure(), request.get_host()))
        return HttpResponse()

    ForwardedHeadersMiddleware(view)(
        factory.get(
            "/",
            REMOTE_ADDR=remote,
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "board.example.org"},
        )
    )

    assert seen == [(secure, "board.example.org" if secure else "testserver")]
