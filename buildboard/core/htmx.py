"""Small matters of htmx: whether a request wants a fragment, and how to send the whole page elsewhere."""

from django.http import HttpRequest, HttpResponse


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx made this request."""
    return request.headers.get("HX-Request") == "true"


def wants_fragment(request: HttpRequest) -> bool:
    """Whether a part of the page is to be answered: not when htmx follows a link or restores its history."""
    return (
        is_htmx(request)
        and request.headers.get("HX-Boosted") != "true"
        and request.headers.get("HX-History-Restore-Request") != "true"
    )


def tell_to_go(url: str, *, status: int = 200) -> HttpResponse:
    """Make the browser load another page instead of swapping in this answer."""
    return HttpResponse(status=status, headers={"HX-Redirect": url, "Cache-Control": "no-store"})
