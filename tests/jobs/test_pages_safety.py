"""What every page keeps: the policy against foreign scripts, escaping, icons and files that are there."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template import engines
from django.template.loader import render_to_string
from django.test import Client

from buildboard.core.permissions import Role
from jobs.states import BADGES, AttemptStatus
from jobs.views.server_parts import SERVER_EVENT_LOOKS, STATUS_LOOKS
from jobs.views.timeline import EVENT_LOOKS
from tests.factories import make_attempt, make_job, make_server
from tests.jobs.log_writing import write_log
from tests.jobs.pages import Page, client_of

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SOURCES = [*sorted((ROOT / "jobs").rglob("*.py")), *sorted((ROOT / "buildboard").rglob("*.py"))]
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}
ERRORS = ("400", "403", "404", "405", "413", "429", "500", "503", "507")


def policy_of(header: str) -> set[str]:
    return {part.strip() for part in header.split(";") if part.strip()}


@pytest.mark.django_db
def test_every_page_has_the_policy_and_needs_nothing_that_it_forbids() -> None:
    make_server()
    queued, failed = make_job(), make_job("failed", error_message="x", error_category="exit_code")
    running = write_log(make_attempt(), b"\x1b[31mone\x1b[0m\ntwo").job
    write_log(make_attempt(failed, AttemptStatus.FAILED), b"three\n")
    jobs = [
        f"/jobs/{job.pk}/{part}"
        for job in (queued, failed, running)
        for part in ("", "log/", "cancel/", "retry/")
    ]
    client = client_of(Role.ADMIN)

    for address in [
        "/jobs/",
        "/jobs/?status=failed&q=x",
        "/jobs/new/",
        "/tokens/",
        "/servers/",
        "/servers/new/",
        "/nowhere/",
        *jobs,
    ]:
        answer = client.get(address)
        assert (address, policy_of(answer["Content-Security-Policy"])) == (address, POLICY)
        assert (address, Page(answer.content.decode()).broken) == (address, [])
    signing_in = Client().get("/login/")
    assert policy_of(signing_in["Content-Security-Policy"]) == POLICY
    assert Page(signing_in.content.decode()).broken == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_switches_escaping_off_or_writes_a_badge_by_hand(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"\|\s*safe\b|safeseq|autoescape\s+off|mark_safe", text)
    assert "badge-soft" not in text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|hx-on|javascript:", text)
    assert len(text.splitlines()) <= 150
    engines["django"].get_template(str(path.relative_to(ROOT / "templates")))


def test_no_module_marks_text_as_safe() -> None:
    assert [path.name for path in SOURCES if re.search(r"\bmark_safe\b|SafeString\(", path.read_text())] == []


def test_no_script_makes_markup_or_code_out_of_text() -> None:
    wrong = re.compile(
        r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function|\.style\s*="
    )

    assert [path.name for path in (ROOT / "static/js").rglob("*.js") if wrong.search(path.read_text())] == []


def test_the_sprite_has_the_icons_that_are_used_and_no_others() -> None:
    sprite = (ROOT / "templates/_sprite.html").read_text()
    there = set(re.findall(r'<symbol id="i-([a-z0-9-]+)"', sprite))
    used = {"circle", "circle-question-mark", *(icon for icon, _, _ in EVENT_LOOKS.values())}
    used |= {look[0] for looks in (SERVER_EVENT_LOOKS, STATUS_LOOKS) for look in looks.values()}
    used |= {look.icon for look in BADGES.values()}
    for path in TEMPLATES:
        used |= set(re.findall(r'{% icon "([a-z0-9-]+)"', path.read_text()))

    assert there == used


def test_static_files_that_templates_name_are_there() -> None:
    names = {name for path in TEMPLATES for name in re.findall(r"{% static '([^']+)' %}", path.read_text())}
    names |= set(re.findall(r"url\((fonts/[^)]+)\)", (ROOT / "static/app.css").read_text()))
    names |= {"django_htmx/htmx-2.min.js"}

    assert [name for name in sorted(names) if finders.find(name) is None] == []


def test_vendored_files_carry_version_and_licence() -> None:
    readme = (ROOT / "static/vendor/README.md").read_text()

    for path in (ROOT / "static/vendor").glob("*.js"):
        assert re.search(rf"`{re.escape(path.name)}` \|.*\| \d+\.\d+\.\d+ \|", readme)
    for licence in re.findall(r"`([a-z./A-Z]+\.txt)`", readme):
        assert (ROOT / "static/vendor" / licence).stat().st_size > 300


def test_htmx_is_told_what_it_must_not_do() -> None:
    head = (ROOT / "templates/_head.html").read_text()

    for word in (
        '"includeIndicatorStyles": false',
        '"allowEval": false',
        '"allowScriptTags": false',
        '"selfRequestsOnly": true',
        '"historyCacheSize": 0',
    ):
        assert word in head


@pytest.mark.parametrize("status", ERRORS)
def test_error_pages_need_neither_request_nor_database(status: str) -> None:
    told = Page(render_to_string(f"{status}.html", {"detail": "It <b>broke</b>.", "status": int(status)}))
    bare = Page(render_to_string(f"{status}.html"))

    assert told.broken == bare.broken == []
    assert "It <b>broke</b>." in told.text
    assert status in bare.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cookie", "theme"), [("bb-dark", "bb-dark"), ("bb-light", "bb-light"), ("", None), ('x" onload="', None)]
)
def test_the_server_writes_the_theme_that_the_reader_chose(cookie: str, theme: str | None) -> None:
    client = client_of()
    client.cookies["bb_theme"] = cookie

    (root,) = Page(client.get("/jobs/").content.decode()).find("html")

    assert root.get("data-theme") == theme


@pytest.mark.django_db
def test_the_navigation_offers_what_a_role_may_use() -> None:
    def offered(client: Client, address: str = "/jobs/") -> set[str]:
        page = Page(client.get(address).content.decode())
        wanted = {"/jobs/", "/jobs/new/", "/tokens/", "/admin/", "/login/"}
        return {one["href"] for one in page.find("a") if one.get("href") in wanted}

    assert offered(Client(), "/login/") == {"/login/"}
    assert offered(client_of(Role.VIEWER)) == {"/jobs/", "/tokens/"}
    assert offered(client_of(Role.SUBMITTER)) == {"/jobs/", "/tokens/", "/jobs/new/"}
    assert offered(client_of(Role.OPERATOR)) == {"/jobs/", "/tokens/", "/jobs/new/", "/admin/"}


@pytest.mark.django_db
def test_a_new_token_is_shown_once_and_can_be_revoked() -> None:
    client = client_of()

    made = client.post("/tokens/", {"name": "<laptop>", "scopes": ["read"], "expires_in_days": "30"})
    later = client.get("/tokens/")

    text = made.context["new_token"]
    assert text.startswith("bb_")
    assert (text in made.content.decode(), text in later.content.decode()) == (True, False)
    (revoke,) = [
        one for one in Page(later.content.decode()).find("form") if "/revoke/" in one.get("action", "")
    ]
    after = Page(client.post(revoke["action"], follow=True).content.decode())
    assert "revoked" in after.text
    assert [one for one in after.find("form") if "/revoke/" in one.get("action", "")] == []


def test_what_only_a_script_can_do_is_not_offered_without_one() -> None:
    """The mark `js-only` is of the element itself, or the element sends a form."""
    scripted = [
        (path.name, tag)
        for path in TEMPLATES
        for tag in re.findall(r"<[a-z]+\b(?:[^<>{]|\{[{%].*?[%}]\})*>", path.read_text())
        if re.search(r"\sdata-(copy|live)\b", tag)
    ]
    toggles = re.findall(r"<button[^>]*data-theme-toggle", (ROOT / "templates/_theme.html").read_text())

    assert len(scripted) > 8
    assert [one for one in scripted if "js-only" not in one[1]] == []
    assert [one for one in toggles if 'name="theme"' not in one or 'type="button"' in one] == []
