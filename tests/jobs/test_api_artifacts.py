"""Artifacts over the API: listed with their addresses, downloaded exactly, never shown by a browser."""

import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from buildboard.core.permissions import Role
from jobs.artifacts import keep_file
from jobs.models import Artifact
from tests.api import BUILD_JOBS, INFRASTRUCTURE, ApiClient, assert_error
from tests.factories import make_attempt, make_job

pytestmark = pytest.mark.django_db
DATA = bytes(range(256)) * 2000


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(Role.VIEWER)


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Path:
    settings.STORAGE_URL = tmp_path.as_uri()
    return tmp_path


def _keep(path: str, data: bytes = DATA, **fields: Any) -> Artifact:
    return keep_file(make_attempt(**fields), path=path, chunks=[data], limit_bytes=1 << 30)


def _content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_artifacts_of_a_job_are_listed_and_can_be_fetched(api: ApiClient) -> None:
    artifact = _keep("out/a b.deb")
    _keep("of/another/job")

    rows = api.get(f"{BUILD_JOBS}/{artifact.attempt.job_id}/artifacts").json()

    url = f"{INFRASTRUCTURE}/artifacts/{artifact.pk}/download"
    assert rows == [
        {
            "id": str(artifact.pk),
            "filename": "a b.deb",
            "path": "out/a b.deb",
            "size": len(DATA),
            "sha256": hashlib.sha256(DATA).hexdigest(),
            "created_at": artifact.created_at.isoformat().replace("+00:00", "Z"),
            "url": url,
        }
    ]
    assert _content(api.get(url)) == DATA


@pytest.mark.parametrize(
    "name", ["page.html", "picture.svg", "x.js", 'a"; filename="b.exe', "ü.bin", "a\r\nSet-Cookie: x"]
)
def test_download_is_an_attachment_that_runs_nothing(api: ApiClient, name: str) -> None:
    artifact = _keep(f"out/{name}", b"<script>alert(1)</script>")

    response = api.get(f"{INFRASTRUCTURE}/artifacts/{artifact.pk}/download")

    assert _content(response) == b"<script>alert(1)</script>"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment; filename")
    assert not {"\r", "\n"} & set(response["Content-Disposition"])
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Set-Cookie" not in response


def test_range_of_an_artifact(api: ApiClient) -> None:
    url = f"{INFRASTRUCTURE}/artifacts/{_keep('x').pk}/download"

    response = api.get(url, headers={"Range": "bytes=131070-131080"})

    assert (response.status_code, _content(response)) == (206, DATA[131_070:131_081])
    assert response["Content-Range"] == "bytes 131070-131080/512000"
    assert_error(api.get(url, headers={"Range": "bytes=512000-"}), 416)


def test_artifacts_come_in_pages(api: ApiClient) -> None:
    attempt = make_attempt()
    for number in range(3):
        keep_file(attempt, path=f"{number}", chunks=[b"x"], limit_bytes=9)

    first = api.get(f"{BUILD_JOBS}/{attempt.job_id}/artifacts?limit=2")
    second = api.get(first["Link"].partition("<http://testserver")[2].partition(">")[0])

    assert [row["path"] for row in first.json() + second.json()] == ["2", "1", "0"]


def test_unknown_and_missing_artifacts_are_not_found(api: ApiClient, storage: Path) -> None:
    artifact = _keep("x")
    (storage / artifact.storage_key).unlink()

    assert_error(api.get(f"{INFRASTRUCTURE}/artifacts/{uuid4()}/download"), 404)
    assert_error(api.get(f"{INFRASTRUCTURE}/artifacts/{artifact.pk}/download"), 404)
    assert api.get(f"{BUILD_JOBS}/{make_job().pk}/artifacts").json() == []


def test_empty_artifact(api: ApiClient) -> None:
    response = api.get(f"{INFRASTRUCTURE}/artifacts/{_keep('x', b'').pk}/download")

    assert (response.status_code, response["Content-Length"], _content(response)) == (200, "0", b"")
