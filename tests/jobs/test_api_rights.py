"""Who may call what of the API: roles, scopes of tokens, sessions."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from buildboard.core.auth import create_token
from buildboard.core.permissions import Role
from jobs.models import BuildJob
from jobs.states import JobStatus
from tests.api import BUILD_JOBS, INFRASTRUCTURE, ApiClient, assert_error, openapi, sign_in, submission
from tests.factories import make_job, make_server, make_user

# Not random: the names of tests are the same in every process.
UNKNOWN_ID = "7c333433-f38f-45e5-ab26-6ec1d9e7fdff"
pytestmark = pytest.mark.django_db
ROLES: tuple[Any, ...] = (None, Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)


READ = {None: 401, Role.VIEWER: 200, Role.SUBMITTER: 200, Role.OPERATOR: 200, Role.ADMIN: 200}
FIND_NONE = {None: 401, **dict.fromkeys(ROLES[1:], 404)}
CHANGE_OTHERS = {None: 401, Role.VIEWER: 403, Role.SUBMITTER: 403, Role.OPERATOR: 200, Role.ADMIN: 200}
OPERATE = {None: 401, Role.VIEWER: 403, Role.SUBMITTER: 403, Role.OPERATOR: 200, Role.ADMIN: 200}
SUBMIT = {None: 401, Role.VIEWER: 403, Role.SUBMITTER: 201, Role.OPERATOR: 201, Role.ADMIN: 201}
SERVER = f"{INFRASTRUCTURE}/build-servers/{{server_id}}"
RIGHTS: dict[tuple[str, str], dict[Any, int]] = {
    ("POST", BUILD_JOBS): SUBMIT,
    ("POST", f"{BUILD_JOBS}/dry-run"): SUBMIT
    | dict.fromkeys((Role.SUBMITTER, Role.OPERATOR, Role.ADMIN), 200),
    ("GET", BUILD_JOBS): READ,
    ("GET", f"{BUILD_JOBS}/queue/status"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/status"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/explain"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/logs"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/logs/raw"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/attempts"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/events"): READ,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/artifacts"): READ,
    ("GET", f"{INFRASTRUCTURE}/artifacts/{{artifact_id}}/download"): FIND_NONE,
    ("PUT", f"{BUILD_JOBS}/{{job_id}}/cancel"): CHANGE_OTHERS,
    ("POST", f"{BUILD_JOBS}/{{job_id}}/retry"): CHANGE_OTHERS | {Role.OPERATOR: 409, Role.ADMIN: 409},
    ("PUT", f"{BUILD_JOBS}/{{job_id}}/priority"): OPERATE,
    ("GET", f"{BUILD_JOBS}/{{job_id}}/priority-preview"): OPERATE,
    ("GET", f"{INFRASTRUCTURE}/build-servers"): READ,
    ("GET", f"{INFRASTRUCTURE}/build-servers/{{server_id}}"): READ,
    ("GET", f"{SERVER}/capacity"): READ,
    ("GET", f"{SERVER}/checks"): READ,
    ("GET", f"{SERVER}/events"): READ,
    ("GET", f"{SERVER}/checks/{{check_id}}"): FIND_NONE,
    ("POST", f"{INFRASTRUCTURE}/build-servers"): OPERATE | {Role.OPERATOR: 201, Role.ADMIN: 201},
    ("PATCH", SERVER): OPERATE,
    ("DELETE", SERVER): OPERATE | {Role.OPERATOR: 204, Role.ADMIN: 204},
    ("POST", f"{SERVER}/probe"): OPERATE | {Role.OPERATOR: 202, Role.ADMIN: 202},
    ("POST", f"{SERVER}/accept-host-key"): OPERATE | {Role.OPERATOR: 409, Role.ADMIN: 409},
    ("POST", f"{SERVER}/maintenance"): OPERATE,
    ("POST", f"{SERVER}/drain"): OPERATE,
    ("POST", f"{SERVER}/quarantine"): OPERATE,
    ("GET", f"{SERVER}/drain-preview"): OPERATE,
    ("GET", f"{SERVER}/removal"): OPERATE,
    ("POST", f"{SERVER}/removal"): OPERATE | {Role.OPERATOR: 422, Role.ADMIN: 422},
    ("DELETE", f"{SERVER}/removal"): OPERATE,
    ("GET", "/api/v1/tokens"): READ,
    ("POST", "/api/v1/tokens"): {None: 401, **dict.fromkeys(ROLES[1:], 201)},
    ("DELETE", "/api/v1/tokens/{token_id}"): FIND_NONE,
    ("GET", "/api/v1/secrets"): OPERATE,
    ("POST", "/api/v1/secrets"): OPERATE | {Role.OPERATOR: 201, Role.ADMIN: 201},
    ("DELETE", "/api/v1/secrets/{name}"): OPERATE | {Role.OPERATOR: 404, Role.ADMIN: 404},
}
BODIES: dict[str, Any] = {
    BUILD_JOBS: submission(),
    f"{BUILD_JOBS}/dry-run": submission(),
    f"{BUILD_JOBS}/{{job_id}}/priority": {"priority": "high", "reason": "release"},
    f"{INFRASTRUCTURE}/build-servers": {
        "name": "far",
        "hostname": "far.example.org",
        "ssh_username": "build",
    },
    SERVER: {},
    f"{SERVER}/accept-host-key": {"fingerprint": "SHA256:" + "A" * 43},
    f"{SERVER}/maintenance": {"enabled": True},
    f"{SERVER}/drain": {"enabled": True},
    f"{SERVER}/quarantine": {"enabled": True},
    f"{SERVER}/removal": {"confirm": "another name"},
    "/api/v1/tokens": {"name": "ci"},
    "/api/v1/secrets": {"name": "TOKEN", "value": "hunter2hunter2"},
}
LATER_TABLES = {
    "/api/v1/infrastructure/build-jobs/{job_id}/artifacts",
    "/api/v1/infrastructure/artifacts/{artifact_id}/download",
}


def test_every_operation_is_in_the_table_of_rights() -> None:
    declared = {(verb.upper(), path) for path, methods in openapi()["paths"].items() for verb in methods}

    assert declared == set(RIGHTS)


@pytest.mark.parametrize(("method", "path"), RIGHTS)
@pytest.mark.parametrize("role", ROLES)
def test_rights_of_each_role(role: str | None, method: str, path: str) -> None:
    job, server = make_job(created_by=make_user(Role.SUBMITTER)), make_server()
    ids = {
        "job_id": job.pk,
        "server_id": server.pk,
        "token_id": uuid4(),
        "artifact_id": uuid4(),
        "check_id": uuid4(),
    }
    concrete = path.format(**ids, name="NONE")

    response = ApiClient(role).call(method, concrete, None if method == "DELETE" else BODIES.get(path))

    assert response.status_code == RIGHTS[method, path][role]
    if response.status_code in (401, 403):
        assert_error(response, response.status_code)


def test_submitter_cancels_and_retries_their_own() -> None:
    api = ApiClient(Role.SUBMITTER)
    job = make_job(created_by=api.user)

    assert api.put(f"{BUILD_JOBS}/{job.pk}/cancel").status_code == 200
    again = api.post(f"{BUILD_JOBS}/{job.pk}/retry")

    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert (again.status_code, again.json()["retry_of"], again.json()["status"]) == (
        201,
        str(job.pk),
        "queued",
    )


def test_role_taken_away_counts_for_ones_own_jobs() -> None:
    api = ApiClient(Role.SUBMITTER)
    job = make_job(created_by=api.user)
    assert api.user is not None
    api.user.role = Role.VIEWER
    api.user.save(update_fields=["role"])

    assert_error(api.put(f"{BUILD_JOBS}/{job.pk}/cancel"), 403)


def test_token_is_limited_to_its_scope() -> None:
    user = make_user(Role.ADMIN)
    _, token = create_token(user, name="reader", scopes=["read"])
    client = Client(headers={"Authorization": f"Bearer {token}"})

    assert client.get(BUILD_JOBS).status_code == 200
    assert_error(client.post(BUILD_JOBS, submission(), content_type="application/json"), 403)
    assert_error(client.put(f"{BUILD_JOBS}/{make_job(created_by=user).pk}/cancel"), 403)


@pytest.mark.parametrize("credential", ["", "x", "bb_x_y", "bb_" + "0" * 32 + "_" + "A" * 43, "é"])
def test_bad_token_is_refused_even_where_a_session_would_do(credential: str) -> None:
    client = sign_in(Client(headers={"Authorization": f"Bearer {credential}"}), make_user(Role.ADMIN))

    response = client.get(BUILD_JOBS)

    assert_error(response, 401)
    assert response["WWW-Authenticate"] == "Bearer"


def test_session_needs_the_csrf_token_to_change_things() -> None:
    client = sign_in(Client(enforce_csrf_checks=True), make_user(Role.SUBMITTER))

    assert client.get(BUILD_JOBS).status_code == 200
    assert_error(client.post(BUILD_JOBS, submission(), content_type="application/json"), 403, code="csrf")
    assert not BuildJob.objects.exists()
