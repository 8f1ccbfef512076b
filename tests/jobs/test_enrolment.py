"""The five steps of a server's way into the fleet: how far it is, what is next, and what it can build at the end."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from buildboard.core.crypto import generate_ssh_key_pair
from buildboard.core.permissions import Role
from jobs.views.enrolment import enrolment_of, first_step
from jobs.views.server_parts import last_check
from servers.models import BuildServer, ServerCheck
from tests.factories import make_job, make_server
from tests.jobs.pages import Page, client_of

pytestmark = pytest.mark.django_db
KEY = " ".join(generate_ssh_key_pair("host")[1].split()[:2])
NAMES = ("reach", "host_key", "login", "shell", "git", "work_dir", "disk", "tools")


def new_server(**fields: Any) -> BuildServer:
    address = {"transport": "ssh", "hostname": "arm.example", "ssh_username": "build", "status": "unknown"}
    return make_server("arm-1", **address | fields)


def look(server: BuildServer, *, passed: int, failed: bool = True, ended: bool = True) -> None:
    """A check whose first steps went well; the next one failed, or is still to come."""
    oks = [True] * passed + [False if failed else None] + [None] * len(NAMES)
    steps = [{"name": name, "ok": ok, "seen": "", "advice": ""} for name, ok in zip(NAMES, oks, strict=False)]
    now = timezone.now()
    ServerCheck.objects.create(server=server, steps=steps, started_at=now, finished_at=now if ended else None)


def states(server: BuildServer) -> list[str]:
    return [step.state for step in enrolment_of(server, check=last_check(server)).steps]


def next_word(server: BuildServer) -> str:
    return enrolment_of(server, check=last_check(server)).next_word


def test_from_its_address_to_its_first_probe() -> None:
    server = new_server()
    begun = states(server)
    look(server, passed=0, failed=False, ended=False)
    looking = states(server)
    ServerCheck.objects.all().delete()
    look(server, passed=1)
    server.seen_host_key = KEY
    shown = states(server), next_word(server)
    server.host_key, server.seen_host_key = KEY, ""
    ServerCheck.objects.all().delete()
    look(server, passed=2)
    kept_out = states(server), next_word(server)
    ServerCheck.objects.all().delete()
    look(server, passed=3)
    let_in = states(server), next_word(server)

    assert begun == ["done", "current", "current", "ahead", "ahead"]
    assert looking == ["done", "current", "current", "ahead", "ahead"]
    assert shown[0] == ["done", "current", "done", "current", "ahead"]
    assert shown[1] == "Paste the lines below on it, then compare its host key and accept it."
    assert kept_out[0] == ["done", "failed", "done", "done", "ahead"]
    assert "paste the lines below" in kept_out[1]
    assert let_in[0] == ["done", "done", "failed", "done", "ahead"]
    assert "see what to do beside the step that failed" in let_in[1]


def test_with_a_key_of_ones_own_there_is_nothing_to_paste() -> None:
    server = new_server(key_generated=False)

    assert states(server)[1] == "done"
    assert enrolment_of(server, check=None).steps[1].told == "your own"


def test_a_port_that_nobody_answers_at_is_told_by_the_look() -> None:
    server = new_server(ssh_port=2222)
    look(server, passed=0)

    assert states(server) == ["done", "current", "failed", "ahead", "ahead"]
    assert enrolment_of(server, check=None).steps[0].told == "build@arm.example:2222"


def test_the_form_is_the_first_step_of_the_same_five() -> None:
    page = Page(client_of(Role.OPERATOR).get("/servers/new/").content.decode())

    assert [step.state for step in first_step().steps] == ["current", *["ahead"] * 4]
    assert [item["id"] for item in page.find("li") if item.get("id", "").startswith("enrolment-")] == [
        f"enrolment-{number}" for number in range(1, 6)
    ]
    assert "Next: Write down where it is." in page.text


def test_its_page_shows_the_steps_until_it_was_probed_and_then_what_it_builds() -> None:
    server = new_server(host_key=KEY)
    client = client_of(Role.OPERATOR)
    before = Page(client.get(f"/servers/{server.pk}/").content.decode())
    BuildServer.objects.update(last_health_check=timezone.now(), status="online", architectures=["aarch64"])
    for name, target in (("gcc", ""), ("make", ""), ("gcc", "riscv64")):
        server.toolchains.create(name=name, version="12.2.0", target_architecture=target, path=f"/bin/{name}")
    after = Page(client.get(f"/servers/{server.pk}/").content.decode())

    assert "4. Host key : done pinned" in before.text
    assert "is in the fleet" not in before.text
    assert (
        "arm-1 is in the fleet. Builds for aarch64 with gcc 12.2.0, make 12.2.0 Builds for riscv64 across with "
        "gcc 12.2.0"
    ) in after.text
    assert after.find("section", id="enrolment") == []
    assert before.broken == after.broken == []


@pytest.mark.parametrize("used", [True, False])
def test_a_server_that_is_in_use_or_old_is_not_introduced(used: bool) -> None:
    ago = timedelta(days=0 if used else 2)
    server = new_server(
        host_key=KEY, last_health_check=timezone.now(), status="online", created_at=timezone.now() - ago
    )
    if used:
        make_job("completed", server=server)

    assert "is in the fleet" not in client_of().get(f"/servers/{server.pk}/").content.decode()
