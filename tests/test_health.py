"""The probes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from buildboard.core.heartbeat import beat
from buildboard.core.models import Heartbeat

NAMES = ["database", "runner", "worker"]


def test_healthz_answers_without_the_database(client: Client) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_readyz_is_content_with_fresh_signs_of_life(client: Client) -> None:
    beat("runner")
    beat("ping:buildboard")

    answer = client.get("/readyz")

    checks = [{"name": name, "ok": True, "detail": ""} for name in NAMES]
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks})


@pytest.mark.django_db
def test_readyz_names_what_never_lived_or_died(client: Client) -> None:
    beat("ping:buildboard")
    Heartbeat.objects.update(beat_at=timezone.now() - timedelta(seconds=100))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    age = answer.json()["checks"][2]["detail"].split()[-3]
    assert answer.json() == {
        "status": "not ready",
        "checks": [
            {"name": "database", "ok": True, "detail": ""},
            {"name": "runner", "ok": False, "detail": "No runner has given a sign of life yet."},
            {"name": "worker", "ok": False, "detail": f"The last sign of life is {age} s old."},
        ],
    }
    assert 100 <= int(age) < 160


@pytest.mark.django_db
def test_readyz_says_that_the_database_is_away(client: Client) -> None:
    def away(execute: Callable[..., Any], *arguments: Any) -> Any:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(away):
        answer = client.get("/readyz")

    assert answer.status_code == 503
    assert [(check["name"], check["ok"], check["detail"]) for check in answer.json()["checks"]] == [
        ("database", False, "The database does not answer."),
        ("runner", False, "Not known while the database is away."),
        ("worker", False, "Not known while the database is away."),
    ]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
