"""What every page's frame shows."""

from django.http import HttpRequest


def board(request: HttpRequest) -> dict[str, object]:
    """Counters of the navigation."""
    return {}
