"""Addresses of one's own tokens. Sign-in and sign-out have global names, in buildboard/urls.py."""

from django.urls import path

from buildboard.core import views

app_name = "core"
urlpatterns = [
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/revoke/", views.revoke, name="token-revoke"),
]
