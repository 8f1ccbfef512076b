"""An alarm about a server that is away names the jobs that it holds up."""

import pytest
from pytest_django import DjangoAssertNumQueries

from buildboard.core.permissions import Role
from jobs.models import Attempt
from servers.models import BuildServer
from servers.states import ServerStatus
from tests.factories import make_attempt, make_job, make_server
from tests.jobs.pages import FRAGMENT, Page, client_of

pytestmark = pytest.mark.django_db


def make_away(name: str, *, builds: int) -> tuple[BuildServer, list[Attempt]]:
    server = make_server(name, status=ServerStatus.OFFLINE, status_reason="No route.")
    attempts = [
        make_attempt(
            make_job("running", source_repository=f"https://git.example/{name}-{number}.git"), server=server
        )
        for number in range(builds)
    ]
    make_attempt(status="completed", server=server)
    return server, attempts


def test_the_list_names_the_first_jobs_of_each_server_that_is_away() -> None:
    many, attempts = make_away("many", builds=5)
    _, (only,) = make_away("single", builds=1)
    make_away("idle", builds=0)
    make_attempt(server=make_server("well"))

    page = Page(client_of(Role.VIEWER).get("/servers/").content.decode())

    assert page.broken == []
    assert (
        "5 jobs there cannot be followed until it answers, though they may well go on: many-0 main , many-1 main , "
        "many-2 main and 2 more ."
    ) in page.text
    assert (
        "1 job there cannot be followed until it answers, though it may well go on: single-0 main ."
        in page.text
    )
    assert page.text.count("cannot be followed until it answers") == 2
    links = {link["href"] for link in page.find("a")}
    assert {f"/jobs/{one.job_id}/" for one in [*attempts[:3], only]} <= links
    assert f"/servers/{many.pk}/#running" in links


def test_the_page_of_the_server_names_them_too() -> None:
    server, attempts = make_away("gone", builds=1)

    page = Page(client_of(Role.VIEWER).get(f"/servers/{server.pk}/").content.decode())

    assert page.broken == []
    assert "1 job there cannot be followed until it answers" in page.text
    BuildServer.objects.update(status=ServerStatus.ONLINE)
    shown = Page(client_of(Role.VIEWER).get(f"/servers/{server.pk}/").content.decode())
    assert "cannot be followed" not in shown.text
    assert {f"/jobs/{attempts[0].job_id}/"} <= {link["href"] for link in shown.find("a")}


def test_a_poll_notices_that_a_job_ended_and_jobs_cost_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    _, attempts = make_away("gone", builds=2)
    make_away("too", builds=3)
    client = client_of(Role.VIEWER)
    with django_assert_num_queries(8):  # one more than without
        page = Page(client.get("/servers/").content.decode())
    (region,) = [one for _, one in page.elements if "hx-get" in one and "data-poll" in one]

    unchanged = client.get(region["hx-get"], headers=FRAGMENT)
    Attempt.objects.filter(pk=attempts[0].pk).update(status="lost", completed_at=attempts[0].created_at)
    changed = client.get(region["hx-get"], headers=FRAGMENT).content.decode()

    assert unchanged.status_code == 204
    assert "1 job there cannot be followed" in Page(changed).text
