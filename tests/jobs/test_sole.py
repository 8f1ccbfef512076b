"""Which queued jobs a server alone could take: what its leaving would strand."""

from dataclasses import replace

import pytest
from pytest_django import DjangoAssertNumQueries

from jobs.needs import Needs
from jobs.queue import sole
from jobs.queue.conditions import fits
from jobs.queue.sole import jobs_only_for
from jobs.queue.verdicts import judge_fleet
from servers.fleet import load_fleet
from tests.factories import make_job, make_server
from tests.jobs.fleets import NOW, X86, facts

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


def test_only_so_many_classes_are_judged_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(sole, "MOST_CLASSES", 2)
    server = make_server("one", architectures=["s390x"])
    for key in "aabbcc":
        make_job(target_architecture="s390x", needs_key=key)
    fleet = load_fleet()

    with django_assert_num_queries(3):
        found = jobs_only_for(server.pk, fleet=fleet)

    assert (found.count, found.is_all) == (4, False)


def test_what_fits_is_what_nothing_impossible_stands_against() -> None:
    """As the whole judgement has it."""
    fleet = [facts("away", status="offline"), facts("full", held=4), facts("odd", labels={}, cores=None)]
    for needs in (X86, replace(X86, labels=(("disk", "nvme"),)), replace(X86, cores=9), Needs("riscv64")):
        judged = {one.server.name: one.fits for one in judge_fleet(fleet, needs=needs, now=NOW)}
        assert {server.name: fits(server, needs=needs) for server in fleet} == judged


def test_nothing_is_stranded_by_one_of_two() -> None:
    server = make_server("one")
    make_server("two")
    make_job()

    assert jobs_only_for(server.pk, fleet=load_fleet()).count == 0
