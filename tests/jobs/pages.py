"""What tests of pages share: clients with a role and the rules that every page keeps."""

import re
from html.parser import HTMLParser

from django.conf import settings
from django.test import Client

from buildboard.core.models import User
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from tests.factories import make_user

FRAGMENT = {"HX-Request": "true"}
_GROUPED_NUMBER = re.compile(r"\d,\d{3}\Z")
_NUMBERS = ("data-poll", "data-offset", "data-line", "value", "id", "href")


def client_of(role: str = Role.SUBMITTER, *, user: User | None = None) -> Client:
    """A browser in which somebody is signed in."""
    client = Client()
    client.force_login(user or make_user(role), backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def names_in(html: str) -> list[str]:
    """The repositories of the rows of a list of jobs, from top to bottom."""
    rows = html.split('<tr id="job-')[1:]
    return [row.split('class="tlink', 1)[1].split(">", 1)[1].split("<", 1)[0] for row in rows]


class Page(HTMLParser):
    """A parsed page: its elements as (name, attributes), its text, and what breaks the rules in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.broken: list[str] = []
        self._script = False
        self._texts: list[str] = []
        self.feed(html)
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        self.broken += [f"id {one} twice" for one in {one for one in ids if ids.count(one) > 1}]
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self._script = tag in ("script", "style")
        if tag == "style" or (tag == "script" and not attributes.get("src", "").startswith("/static/")):
            self.broken.append(f"inline <{tag}>")
        for name, value in attributes.items():
            if name == "style" or name.startswith(("on", "hx-on", "hx-vals")):
                self.broken.append(f"{name} on <{tag}>")
            if name == "hx-trigger" and "[" in value:
                self.broken.append(f"filter in hx-trigger on <{tag}>")
            if value.strip().lower().startswith("javascript:"):
                self.broken.append(f"javascript: in {name}")
            if name in _NUMBERS and _GROUPED_NUMBER.match(value):
                self.broken.append(f"{name}={value}")
        if tag == "img" or (tag == "link" and not attributes.get("href", "").startswith("/static/")):
            self.broken.append(f"<{tag}> {attributes}")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.broken.append("text in a script")
        self._texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def find(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Attributes of the elements of this name that have all of these (`data_poll` is `data-poll`)."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag
            and all(attributes.get(key.replace("_", "-")) == value for key, value in wanted.items())
        ]


def page_of(job: BuildJob, query: str = "", *, client: Client | None = None) -> Page:
    """The job's page as this browser gets it."""
    answer = (client or client_of()).get(f"/jobs/{job.pk}/{query}")
    assert answer.status_code == 200
    return Page(answer.content.decode())
