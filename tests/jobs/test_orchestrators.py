"""Orchestrators: registered once, with a token that nothing but the internal API takes."""

import io
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.auth import authenticate_token, create_token
from buildboard.core.models import Event
from jobs.models import Orchestrator
from jobs.orchestrators import authenticate_orchestrator, create_orchestrator, revoke_orchestrator
from tests.factories import make_user

pytestmark = pytest.mark.django_db
ACTOR = Actor("ann", "command")


def test_its_token_stands_for_it_until_it_is_revoked() -> None:
    orchestrator, text = create_orchestrator("o1", job_types=["build", "test", "build"], actor=ACTOR)

    assert re.fullmatch(r"bbo_[0-9a-f]{32}_[A-Za-z0-9_-]{43}", text)
    assert authenticate_orchestrator(text) == orchestrator
    assert Orchestrator.objects.get().job_types == ["build", "test"]
    assert [revoke_orchestrator(orchestrator, actor=ACTOR) for _ in range(2)] == [True, False]
    assert authenticate_orchestrator(text) is None
    assert list(Event.objects.values_list("kind", "actor")) == [
        ("orchestrator_created", "ann"),
        ("orchestrator_revoked", "ann"),
    ]


def test_its_secret_is_not_kept() -> None:
    _, text = create_orchestrator("o1", job_types=[], actor=ACTOR)

    assert text.split("_", 2)[2] not in str(
        list(Orchestrator.objects.values()) + list(Event.objects.values())
    )


def test_the_two_classes_of_tokens_do_not_mix() -> None:
    _, of_orchestrator = create_orchestrator("o1", job_types=[], actor=ACTOR)
    _, of_person = create_token(make_user("admin"), name="x", scopes=["operate"])

    answered = Client().get("/api/v1/tokens", headers={"Authorization": f"Bearer {of_orchestrator}"})

    assert answered.status_code == 401
    assert authenticate_token(of_orchestrator) is None
    assert authenticate_orchestrator(of_person) is None
    assert authenticate_orchestrator(of_orchestrator[:-1] + "!") is None


def test_the_command_prints_the_token_alone() -> None:
    out, err = io.StringIO(), io.StringIO()

    call_command(
        "create_orchestrator", "o1", "--types", "build, test,", stdout=out, stderr=err, no_color=True
    )

    assert authenticate_orchestrator(out.getvalue().removesuffix("\n")) == Orchestrator.objects.get()
    assert err.getvalue() == "Orchestrator o1; its token is not shown again:\n"
    assert Orchestrator.objects.get().job_types == ["build", "test"]


@pytest.mark.parametrize(
    ("name", "types", "why"),
    [
        ("taken", "", "Orchestrator with this Name already exists."),
        ("a b", "", "Names and job types are at most 64 letters, digits and . _ - characters."),
        ("a\n", "", "Names and job types are at most 64 letters, digits and . _ - characters."),
        ("", "", "Names and job types are at most 64 letters, digits and . _ - characters."),
        ("x" * 65, "", "Names and job types are at most 64 letters, digits and . _ - characters."),
        ("o1", "a,b c", "Names and job types are at most 64 letters, digits and . _ - characters."),
    ],
)
def test_the_command_refuses(name: str, types: str, why: str) -> None:
    Orchestrator.objects.create(name="taken", revoked_at=timezone.now())

    with pytest.raises(CommandError, match=re.escape(why)):
        call_command("create_orchestrator", name, f"--types={types}")

    assert Orchestrator.objects.count() == 1
