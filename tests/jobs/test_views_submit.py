"""The submit page says where a build would run before it is sent, from what is typed so far."""

import re

import pytest

from buildboard.core.permissions import Role
from jobs.models import BuildJob
from servers.models import BuildServer, Slot
from servers.states import ServerStatus
from tests.factories import make_built, make_followed, make_job, make_user
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db

TYPED = {
    "source_repository": "https://git.example/demo.git",
    "target_architecture": "x86_64",
    "branch": "main",
    "commit_hash": "HEAD",
    "server_id": "auto",
    "priority": "normal",
    "timeout_seconds": "3600",
    "max_attempts": "2",
    "retry_on": "system",
}


def filled(server: BuildServer) -> None:
    for slot in Slot.objects.filter(server=server):
        Slot.objects.filter(pk=slot.pk).update(holder=make_job().pk)
    BuildJob.objects.all().delete()


def side_of(**typed: str) -> str:
    shown = client_of().post("/jobs/new/preview/", {**TYPED, **typed})
    assert shown.status_code == 200
    return Page(shown.content.decode()).text


def test_a_free_server_would_take_it_at_once_and_the_others_say_why_not() -> None:
    make_followed("north")
    make_followed("west", status=ServerStatus.OFFLINE)
    make_followed("arm", architectures=["aarch64"])

    text = side_of()

    assert "At once on north" in text
    assert "north (free) Has room for it now." in text
    assert "west (offline) Is offline." in text
    assert "arm (impossible)" in text
    assert BuildJob.objects.count() == 0


def test_while_all_are_busy_it_says_when_by_past_builds_and_behind_how_many() -> None:
    filled(make_followed("north", max_concurrent_builds=1))
    for _ in range(3):
        make_built(600)
    make_job()

    text = side_of()

    # Of what holds the slot nothing is known: a whole build until it comes free, and then the one that waits before it.
    assert re.search(r"In (1\d|20)–2\d min on the first server that comes free, behind 1 other", text)
    assert "Builds like it take 9–11 min (learnt from 3 builds of this branch)." in text


def test_without_any_history_it_says_that_it_guesses() -> None:
    filled(make_followed("north", max_concurrent_builds=1))

    text = side_of()

    assert re.search(
        r"In about \d+ minutes on the first server that comes free"
        r" \(a guess: no build has completed yet\)",
        text,
    )
    assert "Builds like it take" not in text


def test_what_nothing_can_build_says_what_would_help() -> None:
    make_followed("north")

    text = side_of(target_architecture="s390x")

    assert "No build server can take it." in text
    assert "It would start when a build server is added that builds s390x" in text


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"target_architecture": ""}, "Choose an architecture"),
        ({"target_architecture": "x86 64"}, "Architecture: "),
        ({"required_toolchain": "gcc >"}, "Toolchain: Write a toolchain's name"),
    ],
)
def test_a_field_that_decides_and_does_not_fit_is_named_by_its_label(
    typed: dict[str, str], told: str
) -> None:
    make_followed("north")

    assert told in side_of(**typed)


def test_fields_that_do_not_decide_may_be_missing_or_wrong() -> None:
    make_followed("north")

    assert "At once on north" in side_of(source_repository="", commit_hash="?", branch="-")


def test_looking_without_scripts_submits_nothing_and_shows_the_same() -> None:
    make_followed("north")

    shown = client_of().post("/jobs/new/", {**TYPED, "look": "1"})

    page = Page(shown.content.decode())
    assert shown.status_code == 200
    assert "At once on north" in page.text
    assert page.find("input", name="source_repository")[0]["value"] == TYPED["source_repository"]
    assert BuildJob.objects.count() == 0


def test_repositories_and_branches_of_past_jobs_are_suggested_each_once() -> None:
    for branch in ("main", "topic", "main"):
        make_job(branch=branch)
    make_job(source_repository="https://git.example/<b>", branch="main")

    page = Page(client_of().get("/jobs/new/").content.decode())

    options = [one["value"] for one in page.find("option") if "value" in one]
    assert options.count("https://git.example/demo.git") == options.count("https://git.example/<b>") == 1
    assert options.count("main") == options.count("topic") == 1
    assert page.find("b") == []


def test_the_latest_jobs_of_the_typed_repository_are_linked() -> None:
    mine, other = make_job(), make_job(source_repository="https://git.example/other.git")

    page = Page(client_of().post("/jobs/new/preview/", TYPED).content.decode())

    assert page.find("a", href=f"/jobs/{mine.pk}/") != []
    assert page.find("a", href=f"/jobs/{other.pk}/") == []


def test_the_architecture_of_ones_own_last_job_is_filled_in() -> None:
    make_followed("north", architectures=["aarch64", "x86_64"])
    person = make_user(Role.SUBMITTER)
    make_job(target_architecture="aarch64", created_by=person)
    make_job(target_architecture="x86_64")

    page = Page(client_of(user=person).get("/jobs/new/").content.decode())

    assert page.find("input", name="target_architecture")[0]["value"] == "aarch64"


def test_a_form_filled_from_a_job_says_so_and_shows_no_secret() -> None:
    job = make_job(
        secret_spec="encrypted-words",
        spec={"source_repository": "https://git.example/demo.git", "branch": "topic", "secrets": ["TOKEN"]},
    )

    html = client_of().get(f"/jobs/new/?from={job.pk}").content.decode()

    assert "Filled from" in html
    assert Page(html).find("input", name="branch")[0]["value"] == "topic"
    assert "encrypted-words" not in html


def test_the_side_is_followed_by_a_request_that_carries_the_form() -> None:
    page = Page(client_of().get("/jobs/new/").content.decode())

    (side,) = page.find("div", id="submit-side")
    assert side["hx-post"] == "/jobs/new/preview/"
    assert side["hx-include"] == "#submit-form"
    assert side["hx-trigger"] == "input delay:400ms from:#submit-form"
    assert page.find("section", id="where")[0]["aria-live"] == "polite"
    assert page.broken == []


def test_those_who_may_not_submit_are_told_nothing() -> None:
    assert client_of(Role.VIEWER).post("/jobs/new/preview/", TYPED).status_code == 403
