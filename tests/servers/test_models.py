"""Who may see a build server."""

import pytest
from django.conf import LazySettings

from buildboard.core.permissions import Role
from servers.models import BuildServer
from tests.factories import make_server, make_user

pytestmark = pytest.mark.django_db


def test_servers_are_visible_to_readers_alone() -> None:
    server = make_server()
    reader, disabled = make_user(Role.VIEWER), make_user(Role.VIEWER, is_active=False)

    assert list(BuildServer.objects.visible_to(reader)) == [server]
    assert list(BuildServer.objects.visible_to(disabled)) == []
    assert list(BuildServer.objects.visible_to(None)) == []


def test_visitors_see_servers_where_reading_is_public(settings: LazySettings) -> None:
    settings.PUBLIC_READ = True
    server = make_server()

    assert list(BuildServer.objects.visible_to(None)) == [server]
