"""Submitting by API: every field's rules, hostile bodies, and that a refused one leaves nothing behind."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from buildboard.core.audit import Actor
from buildboard.core.models import Event, IdempotencyKey
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.secrets import store_secret
from tests.api import BUILD_JOBS, ApiClient, assert_error, submission
from tests.factories import make_job, make_server
from tests.racing import at_once

pytestmark = pytest.mark.django_db
ACTOR = Actor(name="operator", door="api")


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(Role.SUBMITTER)


def _refused(api: ApiClient, body: Any, status: int, **expected: Any) -> None:
    before = (BuildJob.objects.count(), Event.objects.filter(subject_type="job").count())
    assert_error(api.post(BUILD_JOBS, body), status, **expected)
    assert (BuildJob.objects.count(), Event.objects.filter(subject_type="job").count()) == before


def test_least_submission_gets_the_defaults(api: ApiClient) -> None:
    answer = api.post(BUILD_JOBS, submission()).json()

    job = BuildJob.objects.get()
    assert answer == {
        "id": str(job.pk),
        "source_repository": "https://git.example/demo.git",
        "branch": "main",
        "commit_hash": "HEAD",
        "resolved_commit": None,
        "target_architecture": "x86_64",
        "server_id": None,
        "server_name": None,
        "status": "queued",
        "priority": "normal",
        "started_at": None,
        "completed_at": None,
        "duration_seconds": None,
        "error_message": None,
        "error_category": None,
        "exit_code": None,
        "attempts": 0,
        "max_attempts": 2,
        "progress": 0,
        "result": None,
        "build_id": None,
        "retry_of": None,
        "created_at": job.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": job.updated_at.isoformat().replace("+00:00", "Z"),
        "cancel_requested_at": None,
        "queue_timeout_seconds": None,
        "queue_deadline_at": None,
        "requested_server_id": None,
        "required_toolchain": None,
        "required_labels": {},
        "group": None,
        "labels": {},
        "provider": "fleet",
        "job_type": "build",
        "created_by": api.user.username if api.user else "",
    }
    assert job.spec["timeout_seconds"] == 3600
    assert job.spec["retry_on"] == ["system"]
    assert job.created_by == api.user


def test_whole_submission_is_kept(api: ApiClient) -> None:
    server = make_server("big")
    store_secret("DEPLOY_KEY", value="hunter2hunter2", actor=ACTOR)
    body = submission(
        branch="feature/x",
        commit_hash="0123ABCDEF",
        target_architecture="arm64",
        server_id="big",
        server_fallback=True,
        build_command="make -j4\n",
        build_config={
            "kernel_config": "defconfig",
            "extra_make_args": ["V=1"],
            "enable_modules": False,
            "build_dtbs": True,
            "custom_env": {"KCFLAGS": "-g"},
        },
        priority="urgent",
        required_toolchain="gcc-12",
        required_labels={"disk": "nvme"},
        group="fast",
        min_cpu_cores=2,
        min_memory_mb=1024,
        min_storage_gb=10,
        artifact_paths=["out/*.deb"],
        timeout_seconds=60,
        idle_timeout_seconds=30,
        queue_timeout_seconds=900,
        max_attempts=10,
        retry_on=["system", "lost"],
        environment={"CC": "'$(x)'"},
        secrets=["DEPLOY_KEY"],
        labels={"team": "kernel"},
        callback_url=None,
    )

    answer = api.post(BUILD_JOBS, body).json()

    job = BuildJob.objects.get()
    kept = {**body, "commit_hash": "0123abcdef", "target_architecture": "aarch64"}
    del kept["callback_url"]
    assert job.spec == {**kept, "provider": "fleet", "job_type": "build"}
    assert (job.priority, job.requested_server, job.group) == (30, server, "fast")
    assert (answer["priority"], answer["target_architecture"], answer["labels"]) == (
        "urgent",
        "aarch64",
        {"team": "kernel"},
    )
    assert (answer["server_id"], answer["requested_server_id"]) == (None, str(server.pk))
    assert answer["queue_timeout_seconds"] == 900
    assert job.queue_deadline_at is not None
    assert (job.queue_deadline_at - job.created_at).total_seconds() == pytest.approx(900, abs=1)
    assert "hunter2" not in json.dumps(answer)


REFUSED: dict[str, list[Any]] = {
    "source_repository": [
        None,
        1,
        "",
        "--upload-pack=x",
        "ext::sh -c x",
        "/etc",
        "file:///etc",
        "ssh://-oProxyCommand=x/y",
        ["https://a/b"],
    ],
    "branch": [None, 1, "", "-x", "a..b", "a b", "a\nb", "x" * 256],
    "commit_hash": [None, 7, "", "main", "--output=PWN", "abc", "a" * 65],
    "target_architecture": [None, 1, "", "x;y", "x" * 65, "-x"],
    "server_fallback": [None, 1, "true", []],
    "server_id": [None, 1, "", "nowhere", "7b1e2d0c-8a47-4c7e-9d6c-2f6f6f0b1a11", "x" * 65],
    "build_command": [1, ["make"], "x" * (512 * 1024 + 1)],
    "build_config": [
        1,
        "x",
        [],
        {"unknown": 1},
        {"kernel_config": "../x"},
        {"extra_make_args": "x"},
        {"enable_modules": "yes"},
        {"custom_env": {"PATH": "x"}},
        {"custom_env": {"A": 1}},
    ],
    "priority": [None, 10, "", "asap", "URGENT"],
    "required_toolchain": [1, "-x", "a b", "x" * 129],
    "required_labels": [1, [], {"": "x"}, {"a": 1}, {"a": None}, {"1": "x"}],
    "group": [1, "-x", "a b", "x" * 65],
    "min_cpu_cores": [0, -1, 1.5, "2", True, 10**30, []],
    "min_memory_mb": [0, -1, 1.5, "2", True, 10**30, []],
    "min_storage_gb": [0, -1, 1.5, "2", True, 10**30, []],
    "artifact_paths": ["x", ["/etc/passwd"], ["../x"], [""], [1], ["x"] * 65],
    "timeout_seconds": [None, 0, -1, 2_592_001, 10**400 - 1, "60", 1.5, True],
    "idle_timeout_seconds": [0, -1, "60", 10**30],
    "queue_timeout_seconds": [0, -1, "60", 1.5, 10**30],
    "max_attempts": [None, 0, 11, "2", True],
    "retry_on": [None, "system", ["always"], ["cancelled"], [1]],
    "environment": [
        None,
        [],
        {"PATH": "x"},
        {"A B": "x"},
        {"A": 1},
        {"A\n": "x"},
        {"LD_PRELOAD": "x"},
        {"GIT_DIR": "x"},
        {"BASH_ENV": "x"},
        {"A": "x" * 65537},
        {f"A{n}": "x" * 60000 for n in range(5)},
    ],
    "secrets": [None, "A", ["UNKNOWN"], ["lower"], [1], ["PATH"]],
    "labels": [None, [], {"a": "x" * 256}, {"a": "x\ny"}, {"a b": "x"}],
    "callback_url": [1, "https://hooks.example/x", "http://169.254.169.254/"],
    "callback_secret": [1, "whsec_x"],
    "provider": [None, 1, "", "orchestrator", "jenkins", "nope"],
    "job_type": [None, 1, "", "test"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values]
)
def test_value_that_does_not_fit_is_named(api: ApiClient, field: str, value: Any) -> None:
    response = api.post(BUILD_JOBS, submission(**{field: value}))

    assert_error(response, 422, code="invalid")
    assert {error["field"].partition(".")[0] for error in response.json()["errors"]} == {field}
    assert not BuildJob.objects.exists()


@pytest.mark.parametrize("field", ["callback_url", "callback_secret", "provider", "job_type"])
def test_what_comes_later_says_so(api: ApiClient, field: str) -> None:
    response = api.post(BUILD_JOBS, submission(**{field: "buildbot"}))

    assert "later release" in response.json()["errors"][0]["message"]


def test_every_error_is_named_at_once(api: ApiClient) -> None:
    body = submission(source_repository="-x", branch="-x", environment={"PATH": "x"}, server_id="nowhere")

    _refused(
        api, body, 422, code="invalid", fields=["source_repository", "branch", "environment", "server_id"]
    )


def test_missing_and_unknown_fields_are_named(api: ApiClient) -> None:
    _refused(api, {"branch": "main"}, 422, fields=["source_repository", "target_architecture"])
    _refused(api, submission(status="completed", id=str(uuid4())), 422, fields=["status", "id"])


def test_name_as_secret_and_variable_is_refused(api: ApiClient) -> None:
    store_secret("TOKEN", value="hunter2hunter2", actor=ACTOR)

    _refused(api, submission(secrets=["TOKEN"], environment={"TOKEN": "x"}), 422, fields=["secrets"])


def test_password_in_a_url_is_not_repeated(api: ApiClient) -> None:
    response = api.post(BUILD_JOBS, submission(source_repository="https://me:hunter22@git.example/x"))

    assert_error(response, 422, fields=["source_repository"])
    assert "stored secret" in response.json()["errors"][0]["message"]
    assert b"hunter22" not in response.content


def test_paths_are_taken_from_listed_folders(api: ApiClient, settings: Settings) -> None:
    settings.LOCAL_REPOSITORIES = (Path("/srv/git"),)

    assert api.post(BUILD_JOBS, submission(source_repository="/srv/git/a.git")).status_code == 201
    assert api.post(BUILD_JOBS, submission(source_repository="file:///srv/git/a.git")).status_code == 201
    _refused(api, submission(source_repository="/srv/git/../x"), 422, fields=["source_repository"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"   ", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe", 400),
        (b'{"timeout_seconds": NaN}', 400),
        (b'{"timeout_seconds": Infinity}', 400),
        (b'{"timeout_seconds": 1e999}', 400),
        (b'{"timeout_seconds": ' + b"9" * 5000 + b"}", 400),
        (b'{"branch": "a\\u0000b"}', 400),
        (b'{"branch": "\\ud800"}', 400),
        (b'{"\\udfff": 1}', 400),
        (b'{"environment": ' + b'{"a":' * 25 + b"1" + b"}" * 25 + b"}", 400),
        (b"[" * 100_000, 400),
        (b'{"branch": "main", "branch": "other"}', 422),
        (b'{"environment": {"A": "1", "A": "2"}}', 422),
        (b'{"branch": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_malformed_body_is_refused(api: ApiClient, body: bytes, status: int) -> None:
    _refused(api, body, status)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_other_content_types_are_refused(api: ApiClient, content_type: str) -> None:
    response = api.post(BUILD_JOBS, json.dumps(submission()), content_type=content_type)

    assert_error(response, 415, code="unsupported_media_type")
    assert not BuildJob.objects.exists()


def test_unknown_query_parameter_is_refused(api: ApiClient) -> None:
    assert_error(api.post(f"{BUILD_JOBS}?branch=x", submission()), 422, fields=["branch"])


def test_full_queue_answers_429(api: ApiClient, settings: Settings) -> None:
    settings.MAX_QUEUE_SIZE = 1
    make_job()

    response = api.post(BUILD_JOBS, submission(), headers={"Idempotency-Key": "k"})

    assert_error(response, 429, code="queue_full")
    assert int(response["Retry-After"]) > 0
    assert not IdempotencyKey.objects.exists()


# ---- once only ------------------------------------------------------------------------------------------
def test_same_key_and_body_answer_the_first_job(api: ApiClient) -> None:
    key = {"Idempotency-Key": "order-7"}

    first = api.post(BUILD_JOBS, submission(labels={"a": "1", "b": "2"}), headers=key)
    again = api.post(BUILD_JOBS, submission(labels={"b": "2", "a": "1"}), headers=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert BuildJob.objects.count() == 1


def test_same_key_with_another_body_conflicts(api: ApiClient) -> None:
    key = {"Idempotency-Key": "order-7"}
    api.post(BUILD_JOBS, submission(), headers=key)

    assert_error(api.post(BUILD_JOBS, submission(branch="x"), headers=key), 409, code="conflict")
    assert BuildJob.objects.count() == 1


def test_refused_body_does_not_use_up_the_key(api: ApiClient) -> None:
    key = {"Idempotency-Key": "order-7"}
    api.post(BUILD_JOBS, submission(branch="-x"), headers=key)

    assert api.post(BUILD_JOBS, submission(), headers=key).status_code == 201


def test_key_is_each_persons_own(api: ApiClient) -> None:
    key = {"Idempotency-Key": "order-7"}

    first = api.post(BUILD_JOBS, submission(), headers=key).json()
    other = ApiClient(Role.SUBMITTER).post(BUILD_JOBS, submission(), headers=key).json()

    assert first["id"] != other["id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
def test_key_that_is_none_is_refused(api: ApiClient, key: str) -> None:
    response = api.post(BUILD_JOBS, submission(), headers={"Idempotency-Key": key})

    assert_error(response, 422, fields=["Idempotency-Key"])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_fifty_parallel_posts_make_one_job() -> None:
    api = ApiClient(Role.SUBMITTER)

    def post() -> tuple[int, str]:
        caller = ApiClient.__new__(ApiClient)
        caller.client = type(api.client)(headers={"Authorization": f"Bearer {api.token}"})
        response = caller.post(BUILD_JOBS, submission(), headers={"Idempotency-Key": "one"})
        return response.status_code, response.json().get("id", "")

    answers = at_once([post] * 50)

    job = BuildJob.objects.get()
    assert answers == [(201, str(job.pk))] * 50
