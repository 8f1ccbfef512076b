"""How an API operation is declared: its right, its answers, and what is refused before its function runs.

Which right is enough is access.py's matter: the middleware decides before; shapes are in `schemas/`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from ninja import Router
from ninja.operation import Operation
from ninja.parser import Parser

from buildboard.core.auth import Principal, principal_of, requires
from buildboard.core.errors import ApiError, FieldProblem
from buildboard.core.json_body import parse_json, read_body, read_json, shown
from buildboard.core.permissions import Right
from buildboard.core.schemas import ErrorShape, InvalidShape

View = TypeVar("View", bound=Callable[..., Any])
_ALWAYS = (401, 403, 422, 503)
_WITH_BODY = (400, 413, 415)


class Guard:
    """Checks a request against its operation before anything of it is used; gives who asks.

    Refuses query parameters that are unknown or given twice, and reads the body strictly: the parser of
    django-ninja would keep the last of two equal keys.
    """

    openapi_security_schema = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token. A browser's session serves, too, with an X-CSRFToken header to write.",
    }

    def __init__(self, right: Right) -> None:
        self.right = right
        self.operation: Operation | None = None

    def __call__(self, request: HttpRequest) -> Principal:
        principal = principal_of(request)
        if not principal.may(self.right):  # the middleware has refused it already; this holds without it, too
            raise ApiError(403, "forbidden", "You may not do this.")
        self._check_query(request)
        self._read_body(request)
        return principal

    def _check_query(self, request: HttpRequest) -> None:
        known = self._names("query")
        errors: list[FieldProblem] = []
        for name, values in request.GET.lists():
            if name not in known:
                errors.append(
                    {"field": shown(name), "message": "There is no such parameter; check its spelling."}
                )
            elif len(values) > 1:
                errors.append({"field": name, "message": "Give this parameter once."})
            elif "\0" in values[0]:
                errors.append({"field": name, "message": "A NUL character cannot be searched for."})
        if errors:
            raise ApiError(422, "invalid", "The query does not fit; see errors.", errors=errors[:50])

    def _read_body(self, request: HttpRequest) -> None:
        if self._takes_no_body_too and not read_body(request).strip():
            request.buildboard_json = {}  # type: ignore[attr-defined]  # likewise
        elif self._names("body"):
            request.buildboard_json = read_json(request)  # type: ignore[attr-defined]  # BodyParser hands it on
        elif request.method not in ("GET", "HEAD") and (body := read_body(request)).strip():
            unknown = parse_json(body, expect_object=True)
            if unknown:
                raise ApiError(
                    422,
                    "invalid",
                    "This call takes no fields; send no body.",
                    errors=[
                        {"field": shown(name), "message": "There is no such field."}
                        for name in list(unknown)[:50]
                    ],
                )

    @property
    def _takes_no_body_too(self) -> bool:
        """Whether the operation has a body that may be left out."""
        models = self.operation.models if self.operation else []
        bodies = [model for model in models if model.__ninja_param_source__ == "body"]
        fields = [field for model in bodies for field in model.model_fields.values()]
        return bool(fields) and not any(field.is_required() for field in fields)

    def _names(self, source: str) -> set[str]:
        models = self.operation.models if self.operation else []
        return {
            name
            for model in models
            if model.__ninja_param_source__ == source
            for name in getattr(model, "__ninja_flatten_map__", model.model_fields)
        }


class BodyParser(Parser):
    """Hands on the body that the guard has read."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The parsed JSON object."""
        return request.buildboard_json  # type: ignore[attr-defined]  # the guard has set it


def operation(
    router: Router,
    method: str,
    path: str,
    *,
    right: Right,
    name: str,
    answers: dict[int, Any],
    errors: tuple[int, ...] = (),
    openapi: dict[str, Any] | None = None,
) -> Callable[[View], View]:
    """Declare a function as the operation `name` (its operation id); errors that all have are added.

    A GET answers HEAD, too.
    """
    responses = {**answers, **_refusals(method, path, errors)}

    def declare(view: View) -> View:
        requires(right)(view)
        for verb in (method, "HEAD") if method == "GET" else (method,):
            guard = Guard(right)
            router.add_api_operation(
                path,
                [verb],
                view,
                auth=guard,
                response=responses,
                operation_id=name,
                url_name=name.replace("_", "-"),
                include_in_schema=verb != "HEAD",
                openapi_extra=openapi,
            )
            guard.operation = view._ninja_operation  # type: ignore[attr-defined]  # django-ninja's mark
        return view

    return declare


def _refusals(method: str, path: str, errors: tuple[int, ...]) -> dict[int, Any]:
    """The shapes of what it may be refused with: its own errors, and those that all of its kind have."""
    always = (
        _ALWAYS + ((404,) if "{" in path else ()) + (_WITH_BODY if method in ("POST", "PUT", "PATCH") else ())
    )
    return {code: InvalidShape if code == 422 else ErrorShape for code in sorted({*always, *errors})}
