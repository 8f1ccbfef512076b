"""Where each address leads: the apps' own lists under one roof."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
