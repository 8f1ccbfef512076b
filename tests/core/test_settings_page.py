"""One's own settings: who one is, another password, the theme, and for admins how the board is set up."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from buildboard.core.audit import Actor
from buildboard.core.auth import create_token
from buildboard.core.board_settings import board_settings
from buildboard.core.models import Event, User
from buildboard.core.permissions import Role
from tests.factories import make_user
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent
OLD, NEW = "correct-horse-44", "battery-staple-55"


@pytest.fixture(autouse=True)
def quick_hashes(settings: LazySettings) -> None:
    """Argon2 is slow by design; test_views.py keeps it once."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def ann(role: str = Role.VIEWER) -> User:
    return make_user(role, username="ann", password=OLD)


def change(client: Client, old: str = OLD, new: str = NEW, again: str | None = None) -> Any:
    data = {"old_password": old, "new_password1": new, "new_password2": new if again is None else again}
    return client.post("/settings/", data)


# ---- who one is -----------------------------------------------------------------------------------------


def test_a_visitor_is_sent_to_sign_in() -> None:
    assert Client().get("/settings/").headers["Location"] == "/login/?next=/settings/"


def test_a_token_has_no_page() -> None:
    _, text = create_token(ann(), name="x", scopes=["read"], actor=Actor(name="ann"))

    assert Client().get("/settings/", headers={"Authorization": f"Bearer {text}"}).status_code == 403


@pytest.mark.parametrize(
    ("role", "word", "rights", "is_board_shown"),
    [
        (Role.VIEWER, "Viewer", 2, False),
        (Role.SUBMITTER, "Submitter", 3, False),
        (Role.OPERATOR, "Operator", 4, False),
        (Role.ADMIN, "Admin", 5, True),
    ],
)
def test_everybody_reads_who_they_are_and_what_they_may(
    role: str, word: str, rights: int, is_board_shown: bool
) -> None:
    answered = client_of(user=ann(role)).get("/settings/")

    page = Page(answered.content.decode())
    assert (answered.status_code, page.broken) == (200, [])
    assert f"Name ann Role {word} You may" in page.text
    assert len(answered.context["may"]) == rights
    assert all(words in page.text.replace("&#x27;", "'") for words in answered.context["may"])
    assert bool(page.find("section", id="board-settings")) is is_board_shown
    assert bool(answered.context["groups"]) is is_board_shown


def test_the_page_is_found_under_ones_name() -> None:
    page = Page(client_of(user=ann()).get("/tokens/").content.decode())

    (link,) = page.find("a", href="/settings/")
    assert link["aria-label"] == "Settings of ann"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_number_of_queries_is_constant(role: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    user = ann(role)
    client = client_of(user=user)

    with django_assert_num_queries(3):  # the session, the person, the count of the navigation
        client.get("/settings/")
    for number in range(3):
        make_user(Role.ADMIN)
        create_token(user, name=f"token-{number}", scopes=["read"], actor=Actor(name="ann"))
    with django_assert_num_queries(3):
        client.get("/settings/")


# ---- another password -----------------------------------------------------------------------------------


def test_another_password_keeps_this_session_and_ends_the_others() -> None:
    user = ann()
    here, elsewhere = client_of(user=user), client_of(user=user)

    changed = change(here)

    assert (changed.status_code, changed.headers["Location"]) == (302, "/settings/")
    assert "Your password was changed." in here.get("/settings/").content.decode()
    assert elsewhere.get("/settings/").headers["Location"] == "/login/?next=/settings/"
    user.refresh_from_db()
    assert (user.check_password(OLD), user.check_password(NEW)) == (False, True)
    event = Event.objects.get(kind="password_changed")
    assert (event.subject_type, event.subject_id, event.actor, event.door, event.data) == (
        "user",
        str(user.pk),
        "ann",
        "page",
        {},
    )


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"old": "wrong"}, "old_password", "This is not your current password. Upper and lower case count."),
        ({"old": ""}, "old_password", "This field is required."),
        ({"again": "other"}, "new_password2", "This is not the same as the new password above it."),
        (
            {"new": "short-1"},
            "new_password2",
            "This password is too short. It must contain at least 8 characters.",
        ),
        ({"new": "password1"}, "new_password2", "This password is too common."),
    ],
)
def test_a_refused_password_is_told_at_its_field(typed: dict[str, str], field: str, words: str) -> None:
    user = ann()
    client = client_of(user=user)

    refused = change(client, **typed)

    page = Page(refused.content.decode())
    assert (refused.status_code, page.broken) == (422, [])
    assert dict(refused.context["form"].errors) == {field: [words]}
    assert (words in page.text, "Your password was not changed." in page.text) == (True, True)
    (typed_in,) = page.find("input", name=field)
    assert typed_in["aria-invalid"] == "true"
    assert [one.get("value") for one in page.find("input", type="password")] == [None] * 3
    user.refresh_from_db()
    assert user.check_password(OLD)
    assert Event.objects.filter(kind="password_changed").count() == 0
    assert client.get("/settings/").status_code == 200


# ---- the theme ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["bb-light", "bb-dark"])
def test_a_theme_is_kept_without_a_script_and_taken_back(theme: str) -> None:
    client = client_of(user=ann())

    chosen = client.post("/theme/", {"theme": theme, "next": "/settings/"})
    worn = Page(client.get("/settings/").content.decode())
    client.post("/theme/", {"theme": "", "next": "/settings/"})
    after = Page(client.get("/settings/").content.decode())

    cookie = chosen.cookies["bb_theme"]
    assert (chosen.status_code, chosen.headers["Location"]) == (302, "/settings/")
    assert (cookie.value, cookie["path"], cookie["max-age"], cookie["samesite"], cookie["httponly"]) == (
        theme,
        "/",
        31_536_000,
        "Lax",
        "",  # the script reads it
    )
    assert (worn.find("html")[0].get("data-theme"), after.find("html")[0].get("data-theme")) == (theme, None)
    assert (pressed(worn), pressed(after)) == ([theme], [""])


def pressed(page: Page) -> list[str]:
    return [button["value"] for button in page.find("button") if button.get("aria-pressed") == "true"]


def test_the_button_of_the_top_bar_goes_round_without_a_script_and_for_visitors() -> None:
    client = Client()
    seen = []

    for _ in range(4):
        page = Page(client.get("/keys/").content.decode())
        (button,) = [one for one in page.find("button") if "data-theme-toggle" in one]
        seen.append((page.find("html")[0].get("data-theme"), button["aria-label"]))
        answered = client.post("/theme/", {"theme": button["value"], "next": "/keys/"})
        assert answered.headers["Location"] == "/keys/"

    assert seen == [
        (None, "Theme: as the system has it"),
        ("bb-dark", "Theme: dark"),
        ("bb-light", "Theme: light"),
        (None, "Theme: as the system has it"),
    ]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:a", ""]
)
def test_choosing_a_theme_leads_nowhere_else(target: str) -> None:
    answered = Client().post("/theme/", {"theme": 'x" onload="', "next": target})

    assert (answered.status_code, answered.headers["Location"]) == (302, "/")
    assert answered.cookies["bb_theme"].value == ""


def test_a_theme_is_chosen_by_post_alone() -> None:
    assert Client().get("/theme/").status_code == 405
    assert Client(enforce_csrf_checks=True).post("/theme/", {"theme": "bb-dark"}).status_code == 403


# ---- the board ------------------------------------------------------------------------------------------


def test_no_secret_of_the_settings_is_shown(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = "hush-9b1c"
    settings.PUBLIC_URL = f"https://who:{marker}1@board.example:8443/{marker}2?key={marker}3"
    settings.REDIS_URL = f"redis://:{marker}4@cache.example/0"
    settings.STORAGE_URL = f"s3://{marker}5:{marker}6@bucket.example/{marker}7"
    settings.SECRET_KEY = f"{marker}8"
    settings.ENCRYPTION_KEYS = [f"{marker}9"]
    settings.ADMIN_PASSWORD = f"{marker}10"
    settings.INTERNAL_API_KEY = f"{marker}11"
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", f"{marker}12")

    groups = board_settings()

    client = client_of(user=ann(Role.ADMIN))
    answered = client.get("/settings/", secure=True)
    text = Page(answered.content.decode()).text
    assert (answered.status_code, marker in answered.content.decode()) == (200, False)
    for words in (
        "Public address https://board.example:8443 ",
        "Shared key of orchestrators set ",
        "Redis in use ",
        "Artifacts and ended logs an S3 bucket ",
        "Visitors may read no ",
        "Jobs waiting at most 1,000 ",
        "A wait worth one priority 6h ",
        "Log of a job 1.0 GiB ",
        "few jobs wait for it 0.3 ",
    ):
        assert words in text
    assert answered.context["groups"] == groups


def test_the_page_names_variables_of_the_readme() -> None:
    table = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)

    shown = [one.variable for group in board_settings() for one in group.settings]

    assert set(shown) <= set(table)
    # Keys, passwords and where the secrets lie.
    assert {name for name in table if name.startswith("BUILDBOARD_")} - set(shown) == {
        "BUILDBOARD_ADMIN_PASSWORD",
        "BUILDBOARD_CSRF_TRUSTED_ORIGINS",
        "BUILDBOARD_DATA_DIR",
        "BUILDBOARD_ENCRYPTION_KEYS",
        "BUILDBOARD_SECRET_KEY",
    }
