"""Every error of the API in the one shape, whatever raised it."""

from functools import partial
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from buildboard.core.errors import ApiError, FieldProblem
from jobs.errors import FieldError, IllegalTransition, InvalidSubmission, QueueFull
from jobs.validation import field_errors
from servers.errors import InvalidServer, ServerConflict

# Where django-ninja found a value, and the names that this package gives to whole bodies and filters.
_SOURCES = frozenset({"body", "query", "path", "header"})
_WHOLES = frozenset({"given", "filters"})


def answer_errors(api: NinjaAPI) -> None:
    """Have the API answer each known exception; an unknown one reaches the middleware, then the log."""
    for kind, answer in _ANSWERS.items():
        api.add_exception_handler(kind, partial(_respond, answer=answer))
    api.add_exception_handler(Exception, _pass_on)


def not_found(what: str) -> ApiError:
    """404 for what is unknown or may not be seen: the two look alike."""
    return ApiError(404, "not_found", f"There is no such {what}, or you may not see it.")


def _respond(request: HttpRequest, error: Any, *, answer: Any) -> HttpResponse:
    return answer(error).response()  # type: ignore[no-any-return]  # every answer gives an ApiError


def _pass_on(request: HttpRequest, error: Any) -> HttpResponse:
    raise error


def _invalid(errors: list[FieldError]) -> ApiError:
    problems: list[FieldProblem] = [{"field": error.field, "message": error.message} for error in errors]
    fields = ", ".join(dict.fromkeys(error.field for error in errors))
    return ApiError(422, "invalid", f"Nothing was changed. Please correct: {fields}."[:500], errors=problems)


def _misfit(error: ValidationError) -> ApiError:
    details = [{"loc": _field(detail["loc"]), "msg": detail["msg"]} for detail in error.errors]
    return _invalid(field_errors(details))


def _field(location: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = location[1:] if location and location[0] in _SOURCES else location
    return parts[1:] if parts and parts[0] in _WHOLES else parts


def _queue_full(error: QueueFull) -> ApiError:
    return ApiError(429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after_seconds)})


_ANSWERS: dict[type[Exception], Any] = {
    ApiError: lambda error: error,
    ValidationError: _misfit,
    InvalidSubmission: lambda error: _invalid(error.errors),
    IllegalTransition: lambda error: ApiError(409, "conflict", str(error)),
    QueueFull: _queue_full,
    InvalidServer: lambda error: _invalid([FieldError(**problem) for problem in error.problems]),
    ServerConflict: lambda error: ApiError(409, "conflict", str(error)),
    Http404: lambda error: not_found("resource"),
    HttpError: lambda error: ApiError(error.status_code, "", error.message),
}
