"""The theme of the pages: a cookie that the server reads and the script in `static/js/ui.js` reads and writes, too."""

from typing import Final

from django.http import HttpRequest, HttpResponse

COOKIE: Final = "bb_theme"
THEMES: Final = ("bb-light", "bb-dark")
_SECONDS: Final = 31_536_000


def theme_of(request: HttpRequest) -> str:
    """The theme that the reader chose; empty: the system's preference."""
    theme = request.COOKIES.get(COOKIE, "")
    return theme if theme in THEMES else ""


def next_theme(theme: str) -> str:
    """Where a press of the top bar's button leads without the script, which knows the system's and does better."""
    return {"": "bb-dark", "bb-dark": "bb-light"}.get(theme, "")


def keep_theme(answer: HttpResponse, *, theme: str) -> None:
    """Have the browser keep a theme, as the script does; anything but a theme goes back to the system's."""
    if theme in THEMES:
        answer.set_cookie(COOKIE, theme, max_age=_SECONDS, samesite="Lax")
    else:
        answer.delete_cookie(COOKIE, samesite="Lax")
