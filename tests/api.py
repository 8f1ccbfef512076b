"""A client of the API whose every answer is held against the OpenAPI document."""

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
from django.conf import settings
from django.test import Client

from buildboard.core.auth import create_token
from buildboard.core.models import User
from buildboard.core.permissions import Role
from jobs.api import api
from servers.models import BuildServer
from tests.factories import make_user

INFRASTRUCTURE = "/api/v1/infrastructure"
BUILD_JOBS = f"{INFRASTRUCTURE}/build-jobs"
SCOPE_OF_ROLE = {
    Role.VIEWER: "read",
    Role.SUBMITTER: "submit",
    Role.OPERATOR: "operate",
    Role.ADMIN: "operate",
}


@cache
def openapi() -> Any:
    """The OpenAPI document as a client reads it."""
    return json.loads(json.dumps(api.get_openapi_schema()))


def operation_at(method: str, path: str) -> Any:
    """The declared operation of a method and a concrete path; None when there is none."""
    paths = openapi()["paths"]
    if path in paths:
        return paths[path].get(method.lower())
    for template, methods in paths.items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            return methods.get(method.lower())
    return None


def assert_declared(method: str, path: str, response: Any) -> None:
    """Fails when the answer's status is not declared, or its body does not fit the declared shape."""
    operation = operation_at(method, path)
    if operation is None:
        return
    declared = operation["responses"].get(str(response.status_code))
    assert declared is not None, f"{method} {path} answered {response.status_code}, which is not declared"
    shape = declared.get("content", {}).get("application/json", {}).get("schema")
    if shape is not None:
        root = {**shape, "components": openapi()["components"]}
        jsonschema_rs.validator_for(root, validate_formats=True).validate(response.json())


class ApiClient:
    """Calls the API as one person by a token, or without any when `role` is None."""

    def __init__(self, role: str | None = Role.SUBMITTER, *, user: User | None = None) -> None:
        self.user = user or (make_user(role) if role else None)
        self.token = ""
        headers = {}
        if self.user is not None:
            scope = SCOPE_OF_ROLE[Role(self.user.role)]
            _, self.token = create_token(self.user, name="test", scopes=[scope])
            headers = {"Authorization": f"Bearer {self.token}"}
        self.client = Client(headers=headers)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One request; `body` is sent as JSON, bytes and text as they are."""
        if body is not None:
            options["data"] = body if isinstance(body, bytes | str) else json.dumps(body)
            options.setdefault("content_type", "application/json")
        response = self.client.generic(method, path, **options)
        assert response.status_code < 500, response.content
        assert_declared(method, path.partition("?")[0], response)
        return response

    def get(self, path: str, **options: Any) -> Any:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """POST of a JSON body."""
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Any:
        """PUT."""
        return self.call("PUT", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """DELETE."""
        return self.call("DELETE", path, **options)


def sign_in(client: Client, user: User) -> Client:
    """The client with a session of the user, as the sign-in page makes it."""
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def submission(**fields: Any) -> dict[str, Any]:
    """A submission that fits, with some fields otherwise."""
    return {"source_repository": "https://git.example/demo.git", "target_architecture": "x86_64"} | fields


def verdict_shape(server: BuildServer, verdict: str, *refusals: tuple[str, str, str]) -> dict[str, Any]:
    """How a server stands to a job, no range known and no look kept.

    `refusals`: condition, kind and reason, the worst first.
    """
    return {
        "server": server.name,
        "server_id": str(server.pk),
        "verdict": verdict,
        "kind": refusals[0][1] if refusals else None,
        "reasons": [reason for _, _, reason in refusals],
        "refusals": [
            {"condition": condition, "kind": kind, "hard": True, "reason": reason, "since": None}
            for condition, kind, reason in refusals
        ],
        "free_in": None,
    }


def assert_error(response: Any, status: int, *, code: str = "", fields: list[str] | None = None) -> None:
    """The contract's shape of an error; `fields` are those that a 422 names."""
    answer = response.json()
    assert response.status_code == status, answer
    assert set(answer) == ({"detail", "code", "errors"} if status == 422 else {"detail", "code"})
    assert isinstance(answer["detail"], str)
    assert answer["detail"]
    if code:
        assert answer["code"] == code
    if fields is not None:
        assert [error["field"] for error in answer["errors"]] == fields
        assert all(error["message"] for error in answer["errors"])
