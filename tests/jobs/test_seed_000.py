"""The ten steps of seed 000, with a token added: its keys and types, and its values where determined."""

import re
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from buildboard.core.auth import create_token
from buildboard.core.permissions import Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db
BASE = "/api/v1/infrastructure/build-jobs"
SUBMISSION = {
    "source_repository": "https://github.com/torvalds/linux",
    "branch": "master",
    "commit_hash": "HEAD",
    "target_architecture": "x86_64",
    "server_id": "auto",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|\+00:00)")


@pytest.fixture
def api() -> Client:
    _, token = create_token(make_user(Role.SUBMITTER), name="seed", scopes=["submit"])
    return Client(headers={"Authorization": f"Bearer {token}"})


def _ask(client: Client, path: str, *, method: str = "get") -> Any:
    response = getattr(client, method)(f"{BASE}{path}")
    assert response.status_code == 200, response.content
    return response.json()


def _submit(client: Client) -> Any:
    response = client.post(BASE, SUBMISSION, content_type="application/json")
    assert response.status_code == 201, response.content
    return response.json()


def test_ten_steps_answer_the_seed(api: Client) -> None:
    first = _submit(api)

    # 1 submit
    job = _submit(api)
    UUID(job["id"])
    assert TIME.fullmatch(job["created_at"])
    assert {key: job[key] for key in (*SUBMISSION, "status", "started_at", "completed_at")} == {
        **SUBMISSION,
        "server_id": None,
        "status": "queued",
        "started_at": None,
        "completed_at": None,
    }
    assert (job["duration_seconds"], job["error_message"]) == (None, None)
    # 2 list, newest first
    assert [row["id"] for row in _ask(api, "")] == [job["id"], first["id"]]
    # 3 the queue
    assert _ask(api, "/queue/status") == {
        "total_queued": 2,
        "total_building": 0,
        "jobs_by_architecture": {"x86_64": 2},
        "estimated_wait_time_seconds": 600,
        "estimate_basis": "default",
        "estimated_wait_range_seconds": None,
        "estimated_wait_by_architecture": {},
        "estimate_track_record": {"starts": None, "ends": None},
    }
    # 4 one job
    assert _ask(api, f"/{job['id']}") == job
    # 5 its status
    status = _ask(api, f"/{job['id']}/status")
    queue_info = status.pop("queue_info")
    assert status == {
        "id": job["id"],
        "status": "queued",
        "server_id": None,
        "started_at": None,
        "completed_at": None,
        "duration_seconds": None,
        "error_message": None,
        "cancel_requested_at": None,
    }
    assert (queue_info["total_queued"], queue_info["estimated_wait_seconds"]) == (2, 600)
    assert queue_info["position"] == 2
    assert all(isinstance(reason, str) for reason in queue_info["reasons"])
    # 6 its log
    log = _ask(api, f"/{job['id']}/logs")
    assert (log["job_id"], log["logs"], log["streaming"]) == (job["id"], [], False)
    # 7 cancel
    assert _ask(api, f"/{job['id']}/cancel", method="put") == {
        "success": True,
        "message": f"Build job {job['id']} cancelled successfully",
        "resource_id": job["id"],
    }
    # 8 its status again
    status = _ask(api, f"/{job['id']}/status")
    assert (status["status"], status["started_at"], status["queue_info"]) == ("cancelled", None, None)
    assert (status["server_id"], status["duration_seconds"], status["error_message"]) == (None, None, None)
    assert TIME.fullmatch(status["completed_at"])
    # 9 its log again
    log = _ask(api, f"/{job['id']}/logs")
    assert len(log["logs"]) == 1
    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00\] Build cancelled by user", log["logs"][0]
    )
    assert (log["job_id"], log["streaming"]) == (job["id"], False)
    # 10 the queue again
    queue = _ask(api, "/queue/status")
    assert (queue["total_queued"], queue["total_building"]) == (1, 0)
    assert (queue["jobs_by_architecture"], queue["estimated_wait_time_seconds"]) == ({"x86_64": 1}, 300)
