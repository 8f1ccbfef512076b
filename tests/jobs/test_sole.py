"""Which queued jobs a server alone could take: what its leaving would strand."""

import pytest

from jobs.queue.sole import jobs_only_for
from servers.fleet import load_fleet
from tests.factories import make_job, make_server

pytestmark = pytest.mark.django_db


def test_jobs_that_no_other_server_fits_are_counted_and_the_first_named() -> None:
    arm = make_server("arm", architectures=["aarch64"])
    make_server("full", max_concurrent_builds=1)
    make_server("away", status="offline", architectures=["riscv64"])
    make_server("well", architectures=["x86_64", "riscv64"])
    mine = [make_job(target_architecture="aarch64") for _ in range(7)]
    for architecture in ("x86_64", "riscv64", "s390x"):
        make_job(target_architecture=architecture)
    make_job("running", target_architecture="aarch64")
    make_job(target_architecture="aarch64", provider="orchestrator")

    found = jobs_only_for(arm.pk, fleet=load_fleet())

    assert (found.count, found.more, found.is_all) == (7, 2, True)
    assert list(found.jobs) == mine[:5]


def test_a_job_that_names_the_server_waits_for_it_alone() -> None:
    server = make_server("one")
    make_server("two")
    make_job(requested_server=server, spec={"server_id": "one"})

    assert jobs_only_for(server.pk, fleet=load_fleet()).count == 1


def test_nothing_is_stranded_by_one_of_two() -> None:
    server = make_server("one")
    make_server("two")
    make_job()

    assert jobs_only_for(server.pk, fleet=load_fleet()).count == 0
