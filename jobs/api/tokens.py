"""A person's own API tokens over HTTP; admins may end anybody's."""

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.responses import Status

from buildboard.core.auth import Principal, create_token, may_grant, principal_of, revoke_token
from buildboard.core.errors import ApiError
from buildboard.core.models import ApiToken
from buildboard.core.permissions import Right
from buildboard.core.schemas import MadeTokenShape, NewToken, TokenShape
from jobs.api.answers import not_found
from jobs.api.operations import operation
from jobs.api.paging import NEWEST_FIRST, PageQuery, read_page

router = Router(tags=["tokens"])


@operation(router, "GET", "", right=Right.SIGNED_IN, name="list_tokens", answers={200: list[TokenShape]})
def list_tokens(request: HttpRequest, response: HttpResponse, filters: PageQuery) -> list[TokenShape]:
    """List one's own tokens that have not been ended, newest first."""
    rows = ApiToken.objects.filter(user=principal_of(request).user, revoked_at__isnull=True)
    page = read_page(rows, keyset=NEWEST_FIRST, page=filters, request=request, response=response)
    return [TokenShape.of(token) for token in page]


@operation(router, "POST", "", right=Right.SIGNED_IN, name="make_token", answers={201: MadeTokenShape})
def make_token(request: HttpRequest, given: NewToken) -> Status[MadeTokenShape]:
    """Make a token. The answer holds it, this once."""
    principal = principal_of(request)
    if principal.user is None:
        raise ApiError(401, "unauthorized", "Sign in to make a token.")
    _check(given, principal)
    token, text = create_token(
        principal.user,
        name=given.name,
        scopes=given.scopes,
        expires_at=given.expires_at,
        actor=principal.actor,
    )
    return Status(201, MadeTokenShape(**TokenShape.values(token), token=text))


@operation(router, "DELETE", "/{uuid:token_id}", right=Right.SIGNED_IN, name="end_token", answers={204: None})
def end_token(request: HttpRequest, token_id: UUID) -> Status[None]:
    """End a token: one's own, or for an admin anybody's. It counts within 5 seconds."""
    principal = principal_of(request)
    rows = ApiToken.objects.select_related("user").filter(revoked_at__isnull=True)
    if not principal.may(Right.ADMINISTER):
        rows = rows.filter(user=principal.user)
    token = rows.filter(pk=token_id).first()
    if token is None:
        raise not_found("token")
    if not (may_grant(principal, token.scopes) or token.pk == principal.token_id):
        raise ApiError(
            403, "forbidden", "That token may do more than yours. End it with it, or in the browser."
        )
    revoke_token(token, actor=principal.actor)
    return Status(204, None)


def _check(given: NewToken, principal: Principal) -> None:
    """No token gives more, or for longer, than what it was made with."""
    if not given.name.strip() or not given.name.isprintable():
        raise _misfit("name", "Write a name of printable text, so that you know the token again.")
    if not may_grant(principal, given.scopes):
        raise _misfit("scopes", "You may not do all of that yourself; choose less.")
    if given.expires_at is not None and given.expires_at <= timezone.now():
        raise _misfit("expires_at", "Write a time that is still to come.")
    own = _end_of_own_token(principal)
    if own is not None and (given.expires_at is None or given.expires_at > own):
        raise _misfit("expires_at", "The token that you use ends before that; write a time before its end.")


def _end_of_own_token(principal: Principal) -> datetime | None:
    if principal.token_id is None:
        return None
    return ApiToken.objects.values_list("expires_at", flat=True).get(pk=principal.token_id)


def _misfit(field: str, message: str) -> ApiError:
    return ApiError(
        422, "invalid", "No token was made; see errors.", errors=[{"field": field, "message": message}]
    )
