"""Where each address leads: the apps' own lists under one roof."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from buildboard import health
from buildboard.core import views
from buildboard.core.auth import requires
from buildboard.core.permissions import Right
from jobs.api import api

to_sign_in = requires(Right.PUBLIC)(RedirectView.as_view(pattern_name="login", query_string=True))

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("login/", views.SignInView.as_view(), name="login"),
    path("logout/", views.SignOutView.as_view(), name="logout"),
    # One door for everybody: the admin site's own form would be a second one.
    path("admin/login/", to_sign_in),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("", include("buildboard.core.urls")),
    path("", include("jobs.urls")),
]

handler400 = "buildboard.core.views.bad_request"
handler403 = "buildboard.core.views.permission_denied"
handler404 = "buildboard.core.views.page_not_found"
handler500 = "buildboard.core.views.server_error"
