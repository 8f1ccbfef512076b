"""Who asks: the person or token behind a request or a socket, and what rights that gives now.

It owns API tokens. Nothing is kept between requests: a role taken away, a
user disabled or a token revoked counts at the next look. Which route asks for which right is access.py's
matter, what a role may is permissions.py's, passwords are people.py's.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookies import CookieError
from importlib import import_module
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user
from django.db import OperationalError, transaction
from django.db.models import Q
from django.http import HttpRequest, parse_cookie
from django.utils import timezone

from buildboard.core import tokens
from buildboard.core.audit import Actor, record_event
from buildboard.core.errors import ApiError
from buildboard.core.models import ApiToken, User
from buildboard.core.permissions import RIGHTS_OF_SCOPE, Right, Scope, rights_of_token

_USED_EVERY = timedelta(minutes=1)
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Principal:
    """The one who asks. `user` is None for a visitor; `token_id` or `session_key` says how they came in."""

    user: User | None
    rights: frozenset[Right]
    name: str = ""
    door: str = "page"
    token_id: UUID | None = None
    session_key: str = ""

    @property
    def actor(self) -> Actor:
        """As events name it."""
        return Actor(name=self.name, door=self.door)

    def may(self, right: Right) -> bool:
        """Whether this right is there."""
        return right in self.rights


def anonymous(*, door: str = "page") -> Principal:
    """A visitor: what is public, and reading where BUILDBOARD_PUBLIC_READ opens it."""
    read = {Right.READ} if settings.PUBLIC_READ else set()
    return Principal(user=None, rights=frozenset({Right.PUBLIC, *read}), door=door)


NOBODY = Principal(user=None, rights=frozenset())


def requires(right: Right) -> Callable[[View], View]:
    """Declare the right that a view (function, class, API operation) asks for; access.py enforces it."""

    def mark(view: View) -> View:
        view.required_right = right  # type: ignore[attr-defined]  # the mark that access.declared_right reads
        return view

    return mark


# ---- requests -------------------------------------------------------------------------------------------


def principal_of(request: HttpRequest) -> Principal:
    """Who makes this request, looked up once a request: a bearer token, else the session, else a visitor.

    Raises ApiError 401 when a bearer token is given that is none, has ended, or whose user is disabled.
    """
    known = getattr(request, "buildboard_principal", None)
    if isinstance(known, Principal):
        return known
    principal = _look_up(request)
    request.buildboard_principal = principal  # type: ignore[attr-defined]  # once a request
    return principal


def _look_up(request: HttpRequest) -> Principal:
    door = _door(request.path_info)
    bearer = bearer_of(request.META.get("HTTP_AUTHORIZATION"))
    if bearer is not None:
        principal = authenticate_token(bearer)
        if principal is None:
            raise ApiError(
                401,
                "unauthorized",
                "This token is unknown, has expired or was revoked. Make a new one at /tokens/.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return principal
    user = request.user
    if not isinstance(user, User):
        return anonymous(door=door)
    return _of_user(user, door=door, session_key=request.session.session_key or "")


def _door(path: str) -> str:
    return next((door for door in ("api", "admin") if path.startswith(f"/{door}/")), "page")


def _of_user(user: User, *, door: str, session_key: str) -> Principal:
    return Principal(user=user, rights=user.rights, name=user.username, door=door, session_key=session_key)


def bearer_of(header: str | None) -> str | None:
    """The credential of an `Authorization: Bearer` header; None for no header or another scheme."""
    scheme, _, credential = (header or "").strip().partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


# ---- sockets --------------------------------------------------------------------------------------------


def principal_of_scope(scope: Mapping[str, Any]) -> Principal:
    """Who opens a WebSocket: a bearer token, else the session's cookie, else a visitor. Reads the database.

    A bad token gives NOBODY, who has no rights at all.
    """
    headers = {
        bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope.get("headers", [])
    }
    bearer = bearer_of(headers.get(b"authorization"))
    if bearer is not None:
        return authenticate_token(bearer) or NOBODY
    try:
        cookies = parse_cookie(headers.get(b"cookie", ""))
    except CookieError:
        cookies = {}
    return _of_session(cookies.get(settings.SESSION_COOKIE_NAME, "")) or anonymous()


def _of_session(session_key: str, *, door: str = "page") -> Principal | None:
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return _of_user(user, door=door, session_key=session_key) if isinstance(user, User) else None


def refresh(principal: Principal) -> Principal:
    """The same one as the database knows them now; NOBODY when the session or the token has ended."""
    if principal.token_id is not None:
        token = ApiToken.objects.select_related("user").filter(pk=principal.token_id).first()
        return _of_token(token) or NOBODY
    if principal.session_key:
        return _of_session(principal.session_key, door=principal.door) or NOBODY
    return anonymous(door=principal.door) if principal.user is None and principal.rights else NOBODY


def still_allowed(principal: Principal, *, right: Right = Right.READ) -> bool:
    """Whether an open socket may stay: the session or token is still good and still gives the right."""
    return refresh(principal).may(right)


# ---- API tokens -----------------------------------------------------------------------------------------


def create_token(
    user: User,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    actor: Actor | None = None,
) -> tuple[ApiToken, str]:
    """A new token of `user` and its text, which is nowhere kept and cannot be shown again.

    Raises ValueError for no or unknown scopes. Scopes beyond the user's role give nothing.
    """
    wanted = set(scopes)
    if not wanted or not wanted <= set(Scope.values):
        raise ValueError(f"a token needs scopes out of {', '.join(Scope.values)}")
    token_id = uuid4()
    text, secret_hash = tokens.new_token(tokens.API_PREFIX, token_id)
    with transaction.atomic():
        token = ApiToken.objects.create(
            id=token_id,
            user=user,
            name=name,
            scopes=[scope for scope in Scope.values if scope in wanted],
            secret_hash=secret_hash,
            expires_at=expires_at,
        )
        record_event(
            "token",
            subject_id=token.pk,
            kind="token_created",
            actor=actor or Actor(name=user.username),
            data={"user": user.username, "name": name, "scopes": token.scopes},
        )
    return token, text


def may_grant(principal: Principal, scopes: Iterable[str]) -> bool:
    """Whether nothing in these scopes goes beyond what the one who asks may do."""
    return all(RIGHTS_OF_SCOPE.get(scope, frozenset(Right)) <= principal.rights for scope in scopes)


def revoke_token(token: ApiToken, *, actor: Actor) -> bool:
    """End a token for good; False when it had been ended before."""
    with transaction.atomic():
        ended = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
            revoked_at=timezone.now()
        )
        if ended:
            data = {"user": token.user.username, "name": token.name}
            record_event("token", subject_id=token.pk, kind="token_revoked", actor=actor, data=data)
    return bool(ended)


def authenticate_token(text: str) -> Principal | None:
    """Whom an API token stands for; None when it is none, has ended, or its user is disabled."""
    parsed = tokens.parse_token(text, prefix=tokens.API_PREFIX)
    if parsed is None:
        return None
    token_id, secret = parsed
    token = ApiToken.objects.select_related("user").filter(pk=token_id).first()
    if not tokens.secret_matches(secret, token.secret_hash if token else None):
        return None
    principal = _of_token(token)
    if token is not None and principal is not None:
        _note_use(token)
    return principal


def _of_token(token: ApiToken | None) -> Principal | None:
    if token is None or token.revoked_at is not None or not token.user.is_active:
        return None
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return None
    rights = rights_of_token(token.user.role, list(token.scopes))
    return Principal(user=token.user, rights=rights, name=token.user.username, door="api", token_id=token.pk)


def _note_use(token: ApiToken) -> None:
    """Once a minute, so that a polling client does not write on every call."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at <= now - _USED_EVERY:
        old = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - _USED_EVERY)
        with suppress(OperationalError), transaction.atomic():  # reading goes on while nothing can be written
            ApiToken.objects.filter(old, pk=token.pk).update(last_used_at=now)
