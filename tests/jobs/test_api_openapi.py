"""The OpenAPI document, its page, and a generator of requests that holds the API to its word."""

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, settings
from schemathesis.core import NotSet

from buildboard.core.permissions import Role
from jobs.api import api as board_api
from tests.api import ApiClient, assert_error, openapi, sign_in
from tests.factories import make_attempt, make_server, make_user

ERRORS = {"401", "403", "422", "503"}


def _operations() -> list[tuple[str, str, Any]]:
    return [
        (verb, path, operation)
        for path, verbs in openapi()["paths"].items()
        for verb, operation in verbs.items()
    ]


def test_every_operation_has_a_name_a_tag_and_its_errors() -> None:
    names = [operation["operationId"] for _, _, operation in _operations()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    for verb, path, operation in _operations():
        expected = (
            ERRORS | ({"404"} if "{" in path else set()) | ({"400"} if verb in ("post", "put") else set())
        )
        assert expected <= set(operation["responses"]), (verb, path)
        assert operation["tags"]
        assert operation["description"]
        assert operation["security"] == [{"Guard": []}]


def test_errors_have_one_shape() -> None:
    for verb, path, operation in _operations():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                shape = "InvalidShape" if status == "422" else "ErrorShape"
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith(f"/{shape}"), (
                    verb,
                    path,
                )


@pytest.mark.django_db
def test_document_is_served() -> None:
    response = ApiClient(Role.VIEWER).get("/api/openapi.json")

    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.1")
    assert_error(ApiClient(None).get("/api/openapi.json"), 401)


@pytest.mark.django_db
def test_page_asks_a_visitor_to_sign_in_as_every_page_does() -> None:
    answer = Client().get("/api/docs")

    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/api/docs")


@pytest.mark.django_db
def test_page_lists_every_operation_without_script_or_style() -> None:
    response = sign_in(Client(), make_user(Role.VIEWER)).get("/api/docs")

    page = response.content.decode()
    assert response.status_code == 200
    for _, path, operation in _operations():
        assert f'id="{operation["operationId"]}"' in page
        assert path in page
    main = page[page.index("<main") : page.index("</main>")]
    assert "<script" not in main
    assert "style=" not in main
    assert "//" not in re.sub(
        r"https://github\.com/torvalds/linux", "", re.sub(r"<code>.*?</code>", "", main)
    )
    assert "script-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1", "/api/v2/x", "/api/v1/infrastructure/build-jobs/", "/api/docs/x"]
)
def test_unknown_address_is_a_json_404(path: str) -> None:
    assert_error(ApiClient(Role.ADMIN).get(path), 404, code="not_found")


schema = schemathesis.openapi.from_dict(board_api.get_openapi_schema(path_prefix="/api/"))


@pytest.mark.slow
@pytest.mark.django_db
@schema.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_generated_requests_get_declared_answers(case: Any, api: ApiClient, ids: dict[str, str]) -> None:
    for name in set(ids) & set(case.path_parameters):
        case.path_parameters[name] = ids[name]
    query = urlencode(case.query or {}, doseq=True)
    body = None if isinstance(case.body, NotSet) else case.body
    if not isinstance(body, bytes | None):
        body = json.dumps(body).encode()

    # The client fails for an answer that is not declared, of another shape, or of the server's fault.
    response = api.call(case.method, f"{case.formatted_path}?{query}", body)

    if response.status_code >= 400:
        assert_error(response, response.status_code)


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(Role.OPERATOR)


@pytest.fixture
def ids() -> dict[str, str]:
    attempt = make_attempt()
    return {"job_id": str(attempt.job_id), "server_id": str(make_server().pk)}
