"""Where each address leads: the apps' own lists under one roof."""

from importlib import import_module
from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from buildboard.core import views
from buildboard.core.auth import requires
from buildboard.core.permissions import Right

to_sign_in = requires(Right.PUBLIC)(RedirectView.as_view(pattern_name="login", query_string=True))

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", views.SignInView.as_view(), name="login"),
    path("logout/", views.SignOutView.as_view(), name="logout"),
    # One door for everybody: the admin site's own form would be a second one.
    path("admin/login/", to_sign_in),
    path("admin/", admin.site.urls),
    path("", include("buildboard.core.urls")),
]
# While parts are being built: each address appears with its module.
if find_spec("jobs.urls"):
    urlpatterns.append(path("", include("jobs.urls")))
if find_spec("buildboard.health"):
    health = import_module("buildboard.health")
    urlpatterns.append(path("healthz", health.healthz, name="healthz"))
    urlpatterns.append(path("readyz", health.readyz, name="readyz"))
if find_spec("jobs.api") and hasattr(import_module("jobs.api"), "api"):
    urlpatterns.append(path("api/", import_module("jobs.api").api.urls))

handler400 = "buildboard.core.views.bad_request"
handler403 = "buildboard.core.views.permission_denied"
handler404 = "buildboard.core.views.page_not_found"
handler500 = "buildboard.core.views.server_error"
