"""Which pages may open a WebSocket."""

from ipaddress import ip_network

import pytest
from django.conf import LazySettings

from buildboard.asgi import application, has_own_origin


def scope(*headers: tuple[str, str], client: str = "192.0.2.1") -> dict[str, object]:
    return {
        "type": "websocket",
        "path": "/ws/nowhere",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": [client, 40000],
    }


@pytest.fixture(autouse=True)
def _ours(settings: LazySettings) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "board.example"]
    settings.PUBLIC_URL = ""
    settings.CSRF_TRUSTED_ORIGINS = []
    settings.TRUSTED_PROXIES = ()


@pytest.mark.parametrize(
    ("host", "origin", "is_own"),
    [
        ("localhost:8000", "http://localhost:8000", True),
        ("Board.Example", "http://board.example", True),
        ("localhost:8000", "http://localhost:9000", False),
        ("localhost:8000", "http://localhost", False),
        ("localhost:8000", "https://localhost:8000", False),
        ("localhost:8000", "http://evil.example", False),
        ("localhost:8000", "null", False),
        ("localhost:8000", "http://localhost:8000, http://evil.example", False),
        # A foreign name that leads to this address: what a page of that name says of itself proves nothing.
        ("evil.example", "http://evil.example", False),
        ("", "http://", False),
    ],
)
def test_page_of_this_address_alone_is_own(host: str, origin: str, is_own: bool) -> None:
    assert has_own_origin(scope(("host", host), ("origin", origin))) is is_own


def test_public_address_and_named_origins_are_own(settings: LazySettings) -> None:
    settings.PUBLIC_URL = "https://builds.example"
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.trusted.example", "https://other.example:8443"]
    host = ("host", "10.0.0.5:8000")

    assert has_own_origin(scope(host, ("origin", "https://builds.example")))
    assert has_own_origin(scope(host, ("origin", "https://a.trusted.example")))
    assert has_own_origin(scope(host, ("origin", "https://other.example:8443")))
    assert not has_own_origin(scope(host, ("origin", "http://builds.example")))
    assert not has_own_origin(scope(host, ("origin", "https://other.example")))
    assert not has_own_origin(scope(host, ("origin", "https://nottrusted.example")))


def test_forwarded_address_is_believed_from_a_trusted_proxy_only(settings: LazySettings) -> None:
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)
    headers = [
        ("host", "inner:8000"),
        ("x-forwarded-host", "board.example"),
        ("x-forwarded-proto", "https"),
        ("origin", "https://board.example"),
    ]

    assert has_own_origin(scope(*headers, client="10.1.2.3"))
    assert not has_own_origin(scope(*headers, client="192.0.2.1"))


def test_client_without_an_origin_needs_a_token() -> None:
    assert has_own_origin(scope(("host", "localhost"), ("authorization", "Bearer bb_x")))
    assert not has_own_origin(scope(("host", "localhost")))
    assert not has_own_origin(scope(("host", "localhost"), ("authorization", "Basic eDp5")))
    assert not has_own_origin(
        scope(("host", "localhost"), ("authorization", "Bearer bb_x"), ("origin", "http://evil.example"))
    )


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost"], ids=["foreign", "no such socket"]
)
def test_refused_socket_is_closed_before_it_is_accepted(origin: str) -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    coroutine = application(scope(("host", "localhost"), ("origin", origin)), receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)

    assert sent == [{"type": "websocket.close"}]
