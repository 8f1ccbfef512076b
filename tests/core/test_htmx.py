"""What htmx asks for, and how it is sent elsewhere."""

import pytest
from django.test import RequestFactory

from buildboard.core.htmx import is_htmx, tell_to_go, wants_fragment


@pytest.mark.parametrize(
    ("headers", "by_htmx", "fragment"),
    [
        ({}, False, False),
        ({"HX-Request": "true"}, True, True),
        ({"HX-Request": "yes"}, False, False),
        ({"HX-Request": "true", "HX-Boosted": "true"}, True, False),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, True, False),
    ],
)
def test_a_fragment_is_for_htmx_when_it_swaps_a_part(
    headers: dict[str, str], by_htmx: bool, fragment: bool
) -> None:
    request = RequestFactory().get("/", headers=headers)

    assert (is_htmx(request), wants_fragment(request)) == (by_htmx, fragment)


def test_the_browser_is_told_to_load_another_page() -> None:
    answered = tell_to_go("/jobs/", status=201)

    assert (answered.status_code, answered.headers["HX-Redirect"], answered.content) == (201, "/jobs/", b"")
