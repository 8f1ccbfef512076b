"""Stored secrets over HTTP: their names can be listed, their values are never shown again."""

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.responses import Status

from buildboard.core.auth import principal_of
from buildboard.core.permissions import Right
from jobs.api.answers import not_found
from jobs.api.operations import operation
from jobs.api.paging import Keyset, PageQuery, read_page
from jobs.errors import FieldError, InvalidSubmission
from jobs.logs.masking import validate_secret_value
from jobs.models import Secret
from jobs.schemas import NewSecret, SecretShape
from jobs.secrets import remove_secret, store_secret
from jobs.validation import check_secret_name

router = Router(tags=["secrets"])


@operation(router, "GET", "", right=Right.OPERATE, name="list_secrets", answers={200: list[SecretShape]})
def list_secrets(request: HttpRequest, response: HttpResponse, filters: PageQuery) -> list[SecretShape]:
    """List the names of the stored secrets."""
    keyset = Keyset(("name",))
    page = read_page(Secret.objects.all(), keyset=keyset, page=filters, request=request, response=response)
    return [SecretShape.of(secret) for secret in page]


@operation(
    router,
    "POST",
    "",
    right=Right.OPERATE,
    name="store_secret",
    answers={201: SecretShape, 200: SecretShape},
    errors=(507,),
)
def store(request: HttpRequest, given: NewSecret) -> Status[SecretShape]:
    """Store a secret: 201 for a new name, 200 when it replaces the value of an old one."""
    errors = []
    for field, value, check in (
        ("name", given.name, check_secret_name),
        ("value", given.value, validate_secret_value),
    ):
        try:
            check(value)
        except ValueError as error:
            errors.append(FieldError(field, str(error)))
    if errors:
        raise InvalidSubmission(errors)
    secret, is_new = store_secret(given.name, value=given.value, actor=principal_of(request).actor)
    return Status(201 if is_new else 200, SecretShape.of(secret))


@operation(router, "DELETE", "/{name}", right=Right.OPERATE, name="remove_secret", answers={204: None})
def remove(request: HttpRequest, name: str) -> Status[None]:
    """Forget a secret. Jobs that list it and did not start yet will fail."""
    if "\0" in name or not remove_secret(name, actor=principal_of(request).actor):
        raise not_found("secret")
    return Status(204, None)
