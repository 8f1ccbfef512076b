"""Every page with an address is one of those that are looked at in a browser and pictured, or has its reason here."""

from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

from django.urls import URLResolver, get_resolver, resolve

from jobs.views.server_actions import ACTIONS
from tests.demo_board import EMPTY, OUTSIDE, PAGES, SERVERLESS

# Of these no page is the board's own, but for the list of the API's operations.
OTHERS = ("admin/", "api/")
NOT_LOOKED_AT = {
    "healthz": "says to machines that the process lives",
    "readyz": "says to machines what is missing",
    "logout/": "only a POST; it leads to the sign-in",
    "theme/": "only a POST; it leads back",
    "jobs/new/preview/": "a part of the form, which fetches it by itself",
    "jobs/<uuid:job_id>/log/lines": "JSON for the log",
    "jobs/<uuid:job_id>/log/search": "JSON for the log",
    "jobs/<uuid:job_id>/log/outline": "JSON for the log",
    "servers/<uuid:server_id>/test/": "only a POST; it leads to the server",
}
QUESTIONS_NOT_LOOKED_AT = {"remove": "asks with the page of delete"}


def addresses() -> list[str]:
    """Paths of all that is looked at, with some id."""
    known = {**PAGES, **OUTSIDE, **EMPTY, **SERVERLESS}
    some_id: defaultdict[str, str] = defaultdict(lambda: str(uuid4()))
    return [urlsplit(known[name].format_map(some_id)).path for name in known if name != "not-found"]


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """All of them, as they are written."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        else:
            yield route


def test_every_page_is_looked_at_or_has_its_reason() -> None:
    seen = {resolve(path).route for path in addresses()}

    own = {route for route in routes(get_resolver()) if not route.startswith(OTHERS)}

    assert own - seen == set(NOT_LOOKED_AT)
    assert "api/docs" in seen


def test_every_question_of_a_server_is() -> None:
    seen = {resolve(path).kwargs.get("action") for path in addresses()}

    asked = {name for name, action in ACTIONS.items() if action.question}

    assert asked - seen == set(QUESTIONS_NOT_LOOKED_AT)
