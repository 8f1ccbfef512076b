"""Addresses of one's own settings and tokens, of the theme, and of the list of keys.

Sign-in and sign-out are in buildboard/urls.py.
"""

from django.urls import path

from buildboard.core import views

app_name = "core"
urlpatterns = [
    path("keys/", views.keys, name="keys"),
    path("settings/", views.own_settings, name="settings"),
    path("theme/", views.theme, name="theme"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/revoke/", views.revoke, name="token-revoke"),
]
