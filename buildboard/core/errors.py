"""The one JSON shape of an error (contract section 3), and the exception that carries it.

Every door answers through here; which error fits is the caller's matter.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from django.http import JsonResponse


class FieldProblem(TypedDict):
    """One field that does not fit, and what to do about it."""

    field: str
    message: str


CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid",
    429: "too_many_requests",
    500: "internal_error",
    503: "database_away",
    507: "disk_full",
}


class ApiError(Exception):
    """Ends a request with one error answer. `detail` is a sentence that says what to do; `code` is a word.

    `errors` goes with 422 only. Raise it from any view; the middleware turns it into the answer.
    """

    def __init__(
        self,
        status: int,
        code: str = "",
        detail: str = "",
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code or CODES.get(status, "error")
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> JsonResponse:
        """The answer that this error stands for."""
        return error_response(self.status, self.code, self.detail, errors=self.errors, headers=self.headers)


def error_response(
    status: int,
    code: str = "",
    detail: str = "",
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """A JSON error answer: `detail`, `code`, and `errors` on 422. Never kept by a cache."""
    body: dict[str, object] = {"detail": detail, "code": code or CODES.get(status, "error")}
    if status == 422:
        body["errors"] = list(errors)
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
