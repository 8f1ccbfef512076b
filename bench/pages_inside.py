"""The board of one size in the benchmark of pages: fills the database of its environment, then looks as it is told.

It answers as bench/inside.py says.
"""

import sys
import time
from collections.abc import Callable

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench.inside import answer

HISTORY_BEGINS_DAYS = 3  # ago: what is younger is the same at each size


class Looker:
    """Somebody who looks at the pages of this board."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._client = Client(headers={"host": "127.0.0.1"})
        self._addresses: dict[str, str] = {}
        self._forget: Callable[[], None] = lambda: None

    def fill(self) -> str:
        """Fill the database; the names of the pages, with tabs between."""
        from bench.history import add_history, last_jobs  # noqa: PLC0415  # models need a Django that is set up
        from buildboard.core.permissions import Role  # noqa: PLC0415  # the same
        from jobs.views import trends  # noqa: PLC0415  # the same
        from tests.demo_rows import fill_board  # noqa: PLC0415  # the same
        from tests.factories import make_user  # noqa: PLC0415  # the same

        call_command("migrate", verbosity=0)
        fill_board()
        add_history(up_to=self._size, before_days=HISTORY_BEGINS_DAYS)
        self._client.force_login(make_user(Role.ADMIN), backend=settings.AUTHENTICATION_BACKENDS[-1])
        self._forget = trends.forget
        middle, job_id, server_id = last_jobs()
        self._addresses = {
            "overview": "/",
            "overview with nothing remembered": "/",
            "jobs": "/jobs/",
            "jobs, failed": "/jobs/?status=failed",
            "jobs, one architecture": "/jobs/?arch=x86_64",
            "jobs, by status": "/jobs/?sort=-status",
            "jobs, by server": "/jobs/?sort=server",
            "jobs, longest first": "/jobs/?sort=-duration",
            "jobs, a page in the middle": f"/jobs/?before={middle}",
            "job": f"/jobs/{job_id}/",
            "server": f"/servers/{server_id}/",
        }
        for name in ("overview", "jobs", "job", "server"):
            html = self._client.get(self._addresses[name]).content.decode()
            self._addresses[f"{name}: a poll"] = _next_poll(html)
        return "\t".join(self._addresses)

    def look(self, name: str) -> str:
        """How many seconds one look takes."""
        if "nothing remembered" in name:
            self._forget()
        begin = time.perf_counter()
        self._get(name)
        return str(time.perf_counter() - begin)

    def queries(self, name: str) -> str:
        """How many queries one look has."""
        if "nothing remembered" in name:
            self._forget()
        with CaptureQueriesContext(connection) as captured:
            self._get(name)
        return str(len(captured))

    def _get(self, name: str) -> None:
        headers = {"HX-Request": "true"} if "poll" in name else {}
        page = self._client.get(self._addresses[name], headers=headers)
        assert page.status_code in (200, 204), f"{name}: {page.status_code}"
        if headers and page.status_code != 204:  # there was news: the next one asks for what is newer
            self._addresses[name] = _next_poll(page.content.decode())


def _next_poll(html: str) -> str:
    """What the page or its polled part asks next."""
    before = html.partition('hx-trigger="bb:poll"')[0]
    return before.rpartition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")


if __name__ == "__main__":
    django.setup()
    answer(Looker(int(sys.argv[1])))
