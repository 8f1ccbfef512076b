"""The submit form produces what the API produces, under the same rules."""

import json
from typing import Any

import pytest
from django.conf import LazySettings

from buildboard.core.permissions import Role
from jobs.forms import SubmitForm, initial_of
from jobs.models import BuildJob, Secret
from jobs.states import ErrorCategory
from tests.api import BUILD_JOBS, ApiClient
from tests.factories import make_job, make_server, make_user
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db

PLAIN = {"source_repository": "https://git.example/demo.git", "target_architecture": "x86_64"}
# What the form sends when nothing else was touched.
SHOWN = {**PLAIN, "branch": "main", "commit_hash": "HEAD", "server_id": "auto", "priority": "normal"}
UNTOUCHED: dict[str, Any] = {
    **SHOWN,
    "timeout_seconds": "3600",
    "max_attempts": "2",
    "retry_on": ["system"],
    "build_config_enable_modules": "on",
}
# Form values and the body that a client of the API would send for the same job.
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"branch": " topic ", "commit_hash": "DEADBEEF"}, {"branch": "topic", "commit_hash": "DEADBEEF"}),
    ({"server_id": "north"}, {"server_id": "north"}),
    (
        {"server_id": "north", "server_fallback": "on"},
        {"server_id": "north", "server_fallback": True},
    ),
    ({"build_command": "set -x\r\n  make \r\n"}, {"build_command": "set -x\n  make \n"}),
    ({"priority": "urgent", "timeout_seconds": "60"}, {"priority": "urgent", "timeout_seconds": 60}),
    ({"queue_timeout_seconds": "900"}, {"queue_timeout_seconds": 900}),
    ({"retry_on": ["lost", "system"]}, {"retry_on": ["system", "lost"]}),
    ({"retry_on": []}, {"retry_on": []}),
    (
        {"environment": "CC=gcc\r\n\r\nFLAGS=-O2 -DX=1 \r\nEMPTY="},
        {"environment": {"CC": "gcc", "FLAGS": "-O2 -DX=1 ", "EMPTY": ""}},
    ),
    ({"secrets": ["TOKEN"]}, {"secrets": ["TOKEN"]}),
    ({"artifact_paths": "out/*.bin\r\n\r\n *.log"}, {"artifact_paths": ["out/*.bin", "*.log"]}),
    ({"labels": "team=kernel"}, {"labels": {"team": "kernel"}}),
    (
        {
            "required_labels": "disk=ssd",
            "group": "lab",
            "required_toolchain": "gcc-14",
            "min_memory_mb": "2048",
        },
        {
            "required_labels": {"disk": "ssd"},
            "group": "lab",
            "required_toolchain": "gcc-14",
            "min_memory_mb": 2048,
        },
    ),
    (
        {"build_config_kernel_config": "defconfig", "build_config_extra_make_args": "W=1\r\nV=1"},
        {"build_config": {"kernel_config": "defconfig", "extra_make_args": ["W=1", "V=1"]}},
    ),
    (
        {
            "build_config_enable_modules": "",
            "build_config_build_dtbs": "on",
            "build_config_custom_env": "A=b",
        },
        {"build_config": {"enable_modules": False, "build_dtbs": True, "custom_env": {"A": "b"}}},
    ),
]


@pytest.fixture(autouse=True)
def fleet() -> None:
    make_server("north")
    Secret.objects.create(name="TOKEN", encrypted_value="x")


def columns_of(job: BuildJob) -> dict[str, Any]:
    own = {"id", "created_at", "updated_at", "created_by", "rank_ms", "queue_deadline_at"}
    return {
        field.name: getattr(job, field.attname) for field in BuildJob._meta.fields if field.name not in own
    }


def in_order(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "retry_on": sorted(body["retry_on"])} if "retry_on" in body else body


@pytest.mark.parametrize(("typed", "body"), CASES)
def test_the_form_makes_the_very_job_that_the_api_makes(typed: dict[str, Any], body: dict[str, Any]) -> None:
    person = make_user(Role.SUBMITTER)

    by_form = client_of(user=person).post("/jobs/new/", {**UNTOUCHED, **typed})
    ApiClient(user=person).call("POST", BUILD_JOBS, {**PLAIN, **body})

    assert by_form.status_code == 302
    form_job, api_job = BuildJob.objects.order_by("created_at")
    assert by_form["Location"] == f"/jobs/{form_job.pk}/"
    form_columns, api_columns = columns_of(form_job), columns_of(api_job)
    form_columns["spec"], api_columns["spec"] = in_order(form_columns["spec"]), in_order(api_columns["spec"])
    assert form_columns == api_columns


@pytest.mark.parametrize(("typed", "body"), CASES)
def test_the_call_that_is_shown_says_no_more_than_it_must(
    typed: dict[str, Any], body: dict[str, Any]
) -> None:
    form = SubmitForm({**UNTOUCHED, **typed})

    assert form.is_valid(), form.errors
    assert in_order(form.api_body()) == in_order({**PLAIN, **body})


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"source_repository": ""}, "source_repository"),
        ({"source_repository": "--upload-pack=x"}, "source_repository"),
        ({"source_repository": "https://u:p@git.example/x"}, "source_repository"),
        ({"target_architecture": ""}, "target_architecture"),
        ({"branch": "-x"}, "branch"),
        ({"commit_hash": "4e1b09"}, "commit_hash"),
        ({"server_id": "nowhere"}, "server_id"),
        ({"priority": "extreme"}, "priority"),
        ({"timeout_seconds": "0"}, "timeout_seconds"),
        ({"timeout_seconds": "soon"}, "timeout_seconds"),
        ({"max_attempts": "11"}, "max_attempts"),
        ({"retry_on": ["cancelled"]}, "retry_on"),
        ({"environment": "no equals sign"}, "environment"),
        ({"environment": "=x"}, "environment"),
        ({"environment": "A=1\nA=2"}, "environment"),
        ({"environment": "LD_PRELOAD=x"}, "environment"),
        ({"environment": "TOKEN=x", "secrets": ["TOKEN"]}, "secrets"),
        ({"secrets": ["UNKNOWN"]}, "secrets"),
        ({"artifact_paths": "../x"}, "artifact_paths"),
        ({"artifact_paths": "x" * 1025}, "artifact_paths"),
        ({"labels": "a b=c"}, "labels"),
        ({"build_command": "a\0b"}, "build_command"),
        ({"build_config_kernel_config": "-x"}, "build_config_kernel_config"),
        ({"build_config_extra_make_args": "y" * 1025}, "build_config_extra_make_args"),
        ({"build_config_custom_env": "PATH=/x"}, "build_config_custom_env"),
        ({"min_memory_mb": "-5"}, "min_memory_mb"),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_made(typed: dict[str, Any], field: str) -> None:
    answer = client_of().post("/jobs/new/", {**UNTOUCHED, **typed})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert BuildJob.objects.count() == 0
    page = Page(answer.content.decode())
    assert page.find("div", id=f"id_{field}_error") != []
    assert page.broken == []
    assert "Nothing was submitted." in page.text


def test_what_was_typed_is_kept_and_its_part_is_open() -> None:
    answer = client_of().post("/jobs/new/", {**UNTOUCHED, "branch": "-x", "environment": "CC=<gcc>"})

    page = Page(answer.content.decode())
    assert page.find("input", name="branch")[0]["value"] == "-x"
    assert page.find("input", name="branch")[0]["aria-invalid"] == "true"
    assert "CC=<gcc>" in page.text
    opened = {one["id"] for one in page.find("details") if "open" in one}
    assert opened == {"environment"}


def test_the_form_begins_with_the_defaults_of_the_api() -> None:
    page = Page(client_of().get("/jobs/new/").content.decode())

    sent = {one["name"]: one["value"] for one in page.find("input") if one.get("value") and one.get("name")}
    assert sent["branch"] == "main"
    assert sent["commit_hash"] == "HEAD"
    assert sent["target_architecture"] == "x86_64"
    assert sent["timeout_seconds"] == "3600"
    assert {one["value"] for one in page.find("input", name="retry_on") if "checked" in one} == {"system"}
    assert len(page.find("input", name="retry_on")) == len(ErrorCategory) - 1


@pytest.mark.parametrize(("typed", "body"), CASES)
def test_a_job_can_be_edited_and_run_again(typed: dict[str, Any], body: dict[str, Any]) -> None:
    client = client_of()
    client.post("/jobs/new/", {**UNTOUCHED, **typed})
    job = BuildJob.objects.get()

    form = SubmitForm(initial=initial_of(job.spec))
    page = client.get(f"/jobs/new/?from={job.pk}")

    assert page.status_code == 200
    again = SubmitForm({name: form.get_initial_for_field(field, name) for name, field in form.fields.items()})
    assert again.is_valid(), again.errors
    assert in_order(again.job_fields["spec"]) == in_order(job.spec)


@pytest.mark.parametrize("origin", ["x", "", "00000000-0000-0000-0000-000000000000"])
def test_an_origin_that_is_none_gives_an_empty_form(origin: str) -> None:
    page = Page(client_of().get(f"/jobs/new/?from={origin}").content.decode())

    assert page.find("input", name="source_repository")[0].get("value", "") == ""


def test_a_full_queue_keeps_the_form_and_says_when_to_try_again(settings: LazySettings) -> None:
    settings.MAX_QUEUE_SIZE = 1
    make_job()

    answer = client_of().post("/jobs/new/", UNTOUCHED)

    assert (answer.status_code, answer["Retry-After"]) == (429, "30")
    assert "The queue is full (1 jobs are waiting)." in Page(answer.content.decode()).text
    assert BuildJob.objects.count() == 1


def test_the_preview_submits_nothing_and_quotes_for_the_shell() -> None:
    answer = client_of().post(
        "/jobs/new/preview/", {**UNTOUCHED, "build_command": "echo 'it works'", "timeout_seconds": "x"}
    )

    assert BuildJob.objects.count() == 0
    call = answer.context["api_call"]
    assert "curl -X POST http://testserver/api/v1/infrastructure/build-jobs" in call
    body = json.loads(call.split("-d '", 1)[1][:-1].replace("'\"'\"'", "'"))
    assert body == {**PLAIN, "build_command": "echo 'it works'"}
    assert Page(answer.content.decode()).broken == []


def test_the_preview_shows_what_a_rule_refuses_too() -> None:
    answer = client_of().post("/jobs/new/preview/", {**UNTOUCHED, "branch": "-x"})

    assert '"branch": "-x"' in answer.context["api_call"]


def test_the_public_address_is_in_the_call(settings: LazySettings) -> None:
    settings.PUBLIC_URL = "https://builds.example"

    assert "curl -X POST https://builds.example/api/v1/" in client_of().get("/jobs/new/").context["api_call"]


@pytest.mark.parametrize(
    ("role", "status"), [(Role.VIEWER, 403), (Role.SUBMITTER, 200), (Role.OPERATOR, 200)]
)
def test_submitting_is_for_submitters(role: str, status: int) -> None:
    client = client_of(role)

    assert client.get("/jobs/new/").status_code == status
    assert client.post("/jobs/new/preview/", UNTOUCHED).status_code == status
    assert client.post("/jobs/new/", UNTOUCHED).status_code == (302 if status == 200 else 403)
