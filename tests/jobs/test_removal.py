"""Removing a server by force: its builds end first, whoever asks again or takes it back, and it goes when none runs."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from jobs.execution import parting, removal
from jobs.execution.removal import (
    AWAY_SECONDS,
    CLEARING_SECONDS,
    finish_removals,
    remove_by_force,
    remove_idle,
)
from jobs.models import Attempt, BuildJob, Refusal
from jobs.queue.waits import history_of
from jobs.states import AttemptStatus, JobStatus
from servers.errors import InvalidServer, ServerConflict
from servers.health import note_unreachable
from servers.models import BuildServer
from servers.removals import request_removal, wished_removals, withdraw_removal
from servers.slots import free_slot, held_slots, take_slot
from servers.states import ServerStatus
from tests.factories import make_attempt, make_job, make_server

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "api")
SSH = {"transport": "ssh", "hostname": "h", "ssh_username": "u"}
STRANGER = SSH | {"host_key": "ssh-ed25519 AAAA", "seen_host_key": "ssh-ed25519 BBBB"}
LONG_AGO = timedelta(seconds=AWAY_SECONDS + CLEARING_SECONDS)


def busy_server(name: str = "one", *, builds: int = 2) -> tuple[BuildServer, list[Attempt]]:
    server = make_server(name)
    attempts = [make_attempt(server=server) for _ in range(builds)]
    for attempt in attempts:
        take_slot(server, holder=attempt.pk)
    return server, attempts


def end(attempt: Attempt, *, ago: timedelta = timedelta(), **fields: object) -> None:
    """As the follower leaves it once the server has confirmed the cancel."""
    free_slot(attempt.pk)
    Attempt.objects.filter(pk=attempt.pk).update(
        status=AttemptStatus.CANCELLED, completed_at=timezone.now() - ago, **fields
    )
    BuildJob.objects.filter(pk=attempt.job_id).update(status=JobStatus.CANCELLED, completed_at=timezone.now())


def test_its_builds_are_cancelled_with_the_reason_and_it_drains() -> None:
    server, attempts = busy_server()
    _, (elsewhere,) = busy_server("two", builds=1)

    assert remove_by_force(server, actor=OLGA, confirm="one", reason="Sold.") == 2

    wished = BuildJob.objects.filter(cancel_requested_by="olga").values_list("pk", flat=True)
    assert set(wished) == {attempt.job_id for attempt in attempts}
    assert elsewhere.job_id not in wished
    reasons = Event.objects.filter(kind="cancel_requested").values_list("reason", flat=True)
    assert set(reasons) == {"Its build server one is removed from the fleet."}
    assert BuildServer.objects.get(pk=server.pk).draining


def test_it_goes_only_when_every_build_has_ended_and_was_cleared_away() -> None:
    server, attempts = busy_server()
    remove_by_force(server, actor=OLGA, confirm="one")

    steps = [finish_removals()]
    end(attempts[0], cleaned_at=timezone.now())
    steps.append(finish_removals())
    end(attempts[1])
    steps.append(finish_removals())
    Attempt.objects.update(cleaned_at=timezone.now())
    steps.append(finish_removals())

    assert steps == [0, 0, 0, 1]
    assert not BuildServer.objects.filter(pk=server.pk).exists()
    gone = Event.objects.get(kind="server_deleted")
    assert (gone.actor, gone.door) == ("olga", "sweep")


def test_what_a_server_does_not_clear_away_holds_it_up_for_a_minute_only() -> None:
    server, (attempt,) = busy_server(builds=1)
    remove_by_force(server, actor=OLGA, confirm="one")
    end(attempt, ago=LONG_AGO)

    assert finish_removals() == 1


def test_a_build_that_was_claimed_just_before_is_cancelled_by_the_sweep() -> None:
    server, _ = busy_server(builds=0)
    remove_by_force(server, actor=OLGA, confirm="one")
    late = make_attempt(server=server, status=AttemptStatus.CLAIMED)
    take_slot(server, holder=late.pk)

    assert finish_removals() == 0
    assert BuildJob.objects.get(pk=late.job_id).cancel_requested_by == "olga"


def test_builds_of_a_server_that_is_away_end_as_lost_and_it_goes() -> None:
    server, (attempt,) = busy_server(builds=1)
    BuildServer.objects.update(status=ServerStatus.OFFLINE, unreachable_since=timezone.now() - LONG_AGO)
    remove_by_force(server, actor=OLGA, confirm="one")

    soon = finish_removals()
    BuildServer.objects.update(removal_requested_at=timezone.now() - LONG_AGO)
    later = [finish_removals(), finish_removals()]

    assert (soon, later) == (0, [0, 1])
    attempt.refresh_from_db()
    job = BuildJob.objects.get(pk=attempt.job_id)
    told = "one was removed from the fleet while it could not be reached; presumed lost."
    assert (attempt.status, attempt.error_message, attempt.server) == ("lost", told, None)
    assert (job.status, job.error_message) == ("failed", told)


@pytest.mark.parametrize(
    ("columns", "is_away"),
    [
        ({"status": ServerStatus.OFFLINE, "unreachable_since": timedelta(seconds=5)}, False),
        ({"status": ServerStatus.UNKNOWN}, False),
        ({"status": ServerStatus.OFFLINE}, False),  # it answers, and its helper cannot work
        ({"status": ServerStatus.UNKNOWN, "unreachable_since": LONG_AGO}, True),
        ({"status": ServerStatus.MAINTENANCE, "unreachable_since": LONG_AGO}, True),
        (STRANGER | {"status": ServerStatus.OFFLINE}, True),
    ],
)
def test_only_who_was_out_of_reach_for_a_minute_is_away(columns: dict[str, object], is_away: bool) -> None:
    server, (attempt,) = busy_server(builds=1)
    remove_by_force(server, actor=OLGA, confirm="one")
    now = timezone.now()
    since = {name: now - value for name, value in columns.items() if isinstance(value, timedelta)}
    BuildServer.objects.update(
        **columns | since, status_changed_at=now - LONG_AGO, removal_requested_at=now - LONG_AGO
    )

    finish_removals()

    attempt.refresh_from_db()
    assert (attempt.status == AttemptStatus.LOST) is is_away


def test_one_failed_contact_or_another_key_a_moment_ago_gives_nothing_up() -> None:
    server, (attempt,) = busy_server(builds=1)
    remove_by_force(server, actor=OLGA, confirm="one")
    BuildServer.objects.update(removal_requested_at=timezone.now() - LONG_AGO)

    note_unreachable(server.pk, reason="No route.")
    finish_removals()
    BuildServer.objects.update(**STRANGER, unreachable_since=None)
    finish_removals()

    attempt.refresh_from_db()
    assert (attempt.status, held_slots(server)) == ("running", 1)


def test_taken_back_it_stays() -> None:
    server, (attempt,) = busy_server(builds=1)
    remove_by_force(server, actor=OLGA, confirm="one")
    withdraw_removal(server, actor=OLGA)
    end(attempt, cleaned_at=timezone.now())

    assert finish_removals() == 0
    assert BuildServer.objects.filter(pk=server.pk, draining=False).exists()


def test_taken_back_while_others_are_seen_to_nothing_of_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, _ = busy_server(builds=0)
    request_removal(server, actor=OLGA, confirm="one")

    def look_then_take_back() -> list[BuildServer]:
        found = wished_removals()
        withdraw_removal(server, actor=OLGA)
        make_attempt(server=server)
        return found

    monkeypatch.setattr(removal, "wished_removals", look_then_take_back)

    assert finish_removals() == 0
    assert BuildServer.objects.filter(pk=server.pk, draining=False).exists()
    assert not BuildJob.objects.filter(cancel_requested_at__isnull=False).exists()


def test_taken_back_at_the_last_moment_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = busy_server(builds=0)
    remove_by_force(server, actor=OLGA, confirm="one")

    def take_back(server_id: UUID) -> bool:
        return not withdraw_removal(server, actor=OLGA)

    monkeypatch.setattr(removal, "_is_being_cleared", take_back)

    assert finish_removals() == 0
    assert BuildServer.objects.filter(pk=server.pk, removal_requested_at=None).exists()
    assert not Event.objects.filter(kind="server_deleted").exists()


def test_without_its_name_nothing_is_cancelled() -> None:
    server, _ = busy_server()

    with pytest.raises(InvalidServer):
        remove_by_force(server, actor=OLGA, confirm="")

    assert not BuildJob.objects.filter(cancel_requested_at__isnull=False).exists()


# ---- what was built there ---------------------------------------------------------------------------------
def built_there(server: BuildServer, *, count: int = 5) -> list[BuildJob]:
    now = timezone.now()
    there = {"server": server, "server_name": server.name, "completed_at": now}
    jobs = [make_job("completed", requested_server=server, **there) for _ in range(count)]
    for job in jobs:
        make_attempt(job, "completed", **there, cleaned_at=now)
    return jobs


def test_a_long_history_is_taken_from_it_over_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "AT_ONCE", 2)
    monkeypatch.setattr(removal, "PARTING_SECONDS", 0.0)
    server = make_server("one")
    jobs = built_there(server)

    assert not remove_idle(server, actor=OLGA)
    assert BuildServer.objects.get().draining
    left = [Attempt.objects.filter(server=server).count()]
    passes = 0
    while not finish_removals():
        passes += 1
        assert passes < 10
        left.append(Attempt.objects.filter(server=server).count())

    assert left[:3] == [3, 1, 0]
    assert passes > 2
    assert not BuildServer.objects.exists()
    parted = BuildJob.objects.filter(server=None, requested_server=None, server_name="one")
    assert set(parted) == set(jobs)
    assert Attempt.objects.filter(server=None, server_name="one").count() == len(jobs)


def test_a_short_history_is_gone_at_once_and_nothing_is_taken_from_one_that_is_busy() -> None:
    busy, _ = busy_server("busy", builds=1)
    built_there(busy)
    idle = make_server("idle")
    built_there(idle)

    with pytest.raises(ServerConflict):
        remove_idle(busy, actor=OLGA)
    assert remove_idle(idle, actor=OLGA)

    assert list(BuildServer.objects.all()) == [busy]
    assert BuildJob.objects.filter(requested_server=busy).count() == 5


def test_a_long_history_of_a_busy_server_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "AT_ONCE", 2)
    busy, _ = busy_server("busy", builds=1)
    built_there(busy)

    with pytest.raises(ServerConflict):
        remove_idle(busy, actor=OLGA)

    busy.refresh_from_db()
    assert (busy.draining, busy.removal_requested_at) == (False, None)
    assert Attempt.objects.filter(server=busy, status="completed").count() == 5


def test_why_jobs_waited_is_kept_with_the_names_of_servers_that_are_gone() -> None:
    """Two of them, of which each refusal stood until they went."""
    now = timezone.now()
    job = make_job(created_at=now - timedelta(minutes=10))
    for name in ("one", "two"):
        server = make_server(name)
        for since, until in ((10, 4), (4, None)):
            Refusal.objects.create(
                job=job,
                server=server,
                server_name=name,
                condition="full",
                since=now - timedelta(minutes=since),
                until=None if until is None else now - timedelta(minutes=until),
            )
        assert remove_idle(server, actor=OLGA)

    left = Refusal.objects.filter(server=None).order_by("pk")
    assert list(left.values_list("server_name", flat=True)) == ["one", "one", "two", "two"]
    history = history_of(job)
    assert history.told == "waited 10 min: full"
    assert [one.servers for one in history.spells] == [2]
