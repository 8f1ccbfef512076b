"""Signing in and out, one's own settings and API tokens, the theme, the list of keys, and the pages of errors.

Other people's tokens are the admin site's; the JSON API has its own views.
"""

import sys
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from buildboard.core.auth import create_token, principal_of, requires, revoke_token
from buildboard.core.board_settings import board_settings
from buildboard.core.errors import ApiError
from buildboard.core.forms import OwnPasswordForm, SignInForm, TokenForm
from buildboard.core.http import error_answer, is_api, refuse_for_database
from buildboard.core.models import ApiToken, User
from buildboard.core.people import change_password
from buildboard.core.permissions import RIGHT_WORDS, Right
from buildboard.core.themes import keep_theme


@requires(Right.PUBLIC)
class SignInView(LoginView):
    """The sign-in form; `next` is followed within this site only."""

    template_name = "registration/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


@requires(Right.PUBLIC)
class SignOutView(LogoutView):
    """Ends the session, by POST."""

    http_method_names = ["post", "options"]


def _session_user(request: HttpRequest) -> User:
    """The person at the browser. Raises ApiError 403 for a token: it could make itself a stronger one."""
    principal = principal_of(request)
    if principal.user is None or not principal.session_key:
        raise ApiError(
            403, "forbidden", "Sign in with your password for this page; tokens use /api/v1/tokens."
        )
    return principal.user


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Right.SIGNED_IN)
@sensitive_post_parameters()
def own_settings(request: HttpRequest) -> HttpResponse:
    """Who one is and may do, one's own password, the theme; for admins how the board is set up, to look at."""
    user = _session_user(request)
    principal = principal_of(request)
    form = OwnPasswordForm(user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        change_password(user, password=form.cleaned_data["new_password1"], actor=principal.actor)
        update_session_auth_hash(request, user)
        messages.success(
            request, "Your password was changed. Wherever else you were signed in, you no longer are."
        )
        return redirect("core:settings")
    context = {
        "person": user,
        "may": [words for right, words in RIGHT_WORDS.items() if principal.may(right)],
        "form": form,
        "groups": board_settings() if principal.may(Right.ADMINISTER) else [],
    }
    return render(request, "core/settings.html", context, status=422 if form.is_bound else 200)


@require_POST
@requires(Right.PUBLIC)
def theme(request: HttpRequest) -> HttpResponse:
    """Keep a theme in this browser, and back to the page that it was chosen on; `next` is followed here only."""
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    answer = HttpResponseRedirect(back)
    keep_theme(answer, theme=request.POST.get("theme", ""))
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Right.SIGNED_IN)
def tokens(request: HttpRequest) -> HttpResponse:
    """One's own tokens. The answer to a POST shows the new token, the only time."""
    user = _session_user(request)
    principal = principal_of(request)
    new_token = ""
    form = TokenForm(request.POST or None, principal=principal)
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["expires_in_days"]
        _, new_token = create_token(
            user,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=timezone.now() + timedelta(days=days) if days else None,
            actor=principal.actor,
        )
        form = TokenForm(principal=principal)
    context = {"tokens": user.tokens.all(), "form": form, "new_token": new_token}
    return render(request, "core/tokens.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Right.SIGNED_IN)
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Ask whether to end one of one's own tokens; POST ends it."""
    token = get_object_or_404(ApiToken, pk=token_id, user=_session_user(request))
    if request.method != "POST":
        return render(request, "core/revoke.html", {"token": token})
    if revoke_token(token, actor=principal_of(request).actor):
        messages.success(request, f"The token “{token.name}” was revoked.")
    return redirect("core:tokens")


@require_safe
@requires(Right.PUBLIC)
def keys(request: HttpRequest) -> HttpResponse:
    """Every key that pages listen to; `?` shows the same as a dialog."""
    return render(request, "core/keys.html", {"is_keys_page": True})


# ---- errors ---------------------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, saying why where that helps; 413 for a form that is too large."""
    if isinstance(exception, RequestDataTooBig):
        return error_answer(request, 413, "This is too large. Send less at once.")
    if isinstance(exception, DisallowedHost):
        detail = "The board does not answer to this name. An admin can add it to BUILDBOARD_ALLOWED_HOSTS."
        return error_answer(request, 400, detail)
    return error_answer(request, 400, "This request could not be understood.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, with the reason when a view gave one."""
    return error_answer(request, 403, str(exception) or "You may not do this. Ask an admin of this board.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: unknown, or not visible to the one who asks."""
    return error_answer(
        request, 404, f"There is nothing {'' if is_api(request) else 'to see '}at this address."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 when it was the database that was away. Django calls it with the exception in flight."""
    away = refuse_for_database(request, sys.exc_info()[1])
    if away is not None:
        return away
    detail = "Something went wrong on the board's side. It was recorded; try again, or tell an admin."
    return error_answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
