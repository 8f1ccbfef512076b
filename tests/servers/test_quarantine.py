"""Quarantine as it is kept: who begins it, what it does, how it ends. Verdicts are tests/jobs/test_host_fault.py's."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from buildboard.core.audit import Actor
from buildboard.core.models import Event
from servers import quarantine
from servers.errors import ServerConflict
from servers.fleet import load_fleet, takes_jobs
from servers.models import BuildServer
from servers.states import QuarantineStage
from tests.factories import make_server

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
OLGA = Actor("olga", "page")
REASON = "3 different builds of 2 repositories failed here and passed on other servers."
CANARY = uuid.uuid4()


def row_of(server: BuildServer) -> BuildServer:
    server.refresh_from_db()
    return server


def stage_of(server: BuildServer) -> QuarantineStage:
    return row_of(server).quarantine_at(timezone.now())


def events(server: BuildServer) -> list[tuple[str, str, str]]:
    rows = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("sequence")
    return list(rows.values_list("kind", "actor", "reason"))


def pass_the_wait(server: BuildServer) -> None:
    BuildServer.objects.filter(pk=server.pk).update(quarantined_until=timezone.now() - MINUTE)


def put_on_trial(server: BuildServer) -> None:
    assert quarantine.quarantine_for_fault(server.pk, reason=REASON)
    pass_the_wait(server)
    assert quarantine.take_canary(row_of(server), holder=CANARY)


# ---- the board's own --------------------------------------------------------------------------------------

database = pytest.mark.django_db


@pytest.fixture
def server() -> BuildServer:
    make_server("good")
    return make_server("bad")


@database
def test_a_server_at_fault_takes_no_builds_for_a_minute(server: BuildServer) -> None:
    before = timezone.now()

    assert quarantine.quarantine_for_fault(server.pk, reason=REASON, signs={"x", "a"})

    row = row_of(server)
    assert not takes_jobs(row)
    assert (row.quarantine_kind, row.quarantine_reason, row.quarantined_by) == ("fault", REASON, "")
    assert (row.quarantine_level, row.quarantine_signs) == (1, ["a", "x"])
    assert row.quarantined_until is not None
    assert before + MINUTE <= row.quarantined_until <= timezone.now() + MINUTE
    assert stage_of(server) == "held"
    assert events(server) == [("quarantined", "", REASON)]
    assert row.status == "online"


@database
def test_one_that_is_out_already_is_not_taken_out_twice(server: BuildServer) -> None:
    quarantine.quarantine_for_fault(server.pk, reason=REASON)

    assert not quarantine.quarantine_for_fault(server.pk, reason="Something else.")
    assert row_of(server).quarantine_reason == REASON
    assert len(events(server)) == 1


@database
def test_the_last_one_is_spared_which_is_told_once_an_hour() -> None:
    alone = make_server("alone")

    assert [quarantine.quarantine_for_fault(alone.pk, reason=REASON) for _ in range(3)] == [False] * 3
    assert stage_of(alone) == "none"
    told = f"{REASON} It is not put in quarantine, since it is the last server in service that builds x86_64."
    assert events(alone) == [("quarantine_withheld", "", told)]


@database
def test_the_board_quarantines_nothing_when_that_is_switched_off(
    server: BuildServer, settings: LazySettings
) -> None:
    settings.QUARANTINE_SECONDS = 0

    assert not quarantine.quarantine_for_fault(server.pk, reason=REASON)
    assert quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke")


@database
def test_on_trial_it_takes_exactly_one_build(server: BuildServer) -> None:
    quarantine.quarantine_for_fault(server.pk, reason=REASON)
    assert not quarantine.take_canary(row_of(server), holder=CANARY)
    pass_the_wait(server)
    seen_by_two = [BuildServer.objects.get(pk=server.pk) for _ in range(2)]

    taken = [quarantine.take_canary(seen, holder=uuid.uuid4()) for seen in seen_by_two]

    assert taken == [True, False]
    assert stage_of(server) == "canary_runs"
    assert not takes_jobs(row_of(server))
    assert next(one for one in load_fleet() if one.name == "bad").canary_id == row_of(server).canary_id


@database
def test_a_server_in_service_takes_every_build(server: BuildServer) -> None:
    assert [quarantine.take_canary(server, holder=uuid.uuid4()) for _ in range(3)] == [True] * 3
    assert row_of(server).canary_id is None


@database
def test_a_canary_that_goes_well_ends_it(server: BuildServer) -> None:
    put_on_trial(server)

    assert quarantine.end_by_canary(server.pk, canary=CANARY, reason="It went well.")

    row = row_of(server)
    assert takes_jobs(row)
    nothing = (None, None, "", "", None, None)
    assert nothing == (
        *(row.quarantined_since, row.quarantined_until, row.quarantine_kind, row.quarantine_reason),
        *(row.quarantine_signs, row.canary_id),
    )
    assert row.quarantine_level == 1
    assert row.quarantine_ended_at is not None
    assert events(server)[-1] == ("quarantine_ended", "", "It went well.")


@database
@pytest.mark.parametrize(("is_worse", "minutes", "level"), [(True, 2, 2), (False, 1, 1)])
def test_a_canary_that_fails_makes_it_wait_again(
    server: BuildServer, is_worse: bool, minutes: int, level: int
) -> None:
    put_on_trial(server)

    assert quarantine.keep_longer(server.pk, canary=CANARY, reason="Again.", is_worse=is_worse)

    row = row_of(server)
    assert stage_of(server) == "held"
    assert row.quarantined_until is not None
    left = row.quarantined_until - timezone.now()
    assert (minutes - 1) * MINUTE < left <= minutes * MINUTE
    assert (row.quarantine_level, row.canary_id) == (level, None)
    assert row.quarantine_reason == ("Again." if is_worse else REASON)
    assert events(server)[-1] == ("quarantine_extended", "", "Again.")


@database
def test_a_canary_that_tells_nothing_makes_room_for_another(server: BuildServer) -> None:
    put_on_trial(server)

    assert quarantine.free_canary(server.pk, canary=CANARY)
    assert stage_of(server) == "canary_due"


@database
def test_a_build_that_is_not_the_canary_changes_nothing(server: BuildServer) -> None:
    put_on_trial(server)
    other = uuid.uuid4()

    assert not quarantine.free_canary(server.pk, canary=other)
    assert not quarantine.end_by_canary(server.pk, canary=other, reason="x")
    assert not quarantine.keep_longer(server.pk, canary=other, reason="x")
    assert stage_of(server) == "canary_runs"


@database
def test_the_next_quarantine_soon_after_is_longer(server: BuildServer) -> None:
    put_on_trial(server)
    quarantine.end_by_canary(server.pk, canary=CANARY, reason="It went well.")

    quarantine.quarantine_for_fault(server.pk, reason=REASON)

    assert row_of(server).quarantine_level == 2


@database
def test_one_that_was_not_at_fault_is_back_as_if_nothing_had_been(server: BuildServer) -> None:
    quarantine.quarantine_for_fault(server.pk, reason=REASON)

    assert quarantine.acquit(server.pk, reason="They fail everywhere.")
    assert not quarantine.acquit(server.pk, reason="They fail everywhere.")

    assert takes_jobs(row_of(server))
    assert row_of(server).quarantine_level == 0


# ---- by hand ----------------------------------------------------------------------------------------------


@database
def test_a_person_takes_a_server_out_until_somebody_ends_it() -> None:
    alone = make_server("alone")

    assert quarantine.set_quarantine(alone.pk, enabled=True, actor=OLGA, reason="Smoke")
    assert not quarantine.set_quarantine(alone.pk, enabled=True, actor=OLGA, reason="Smoke")
    row = row_of(alone)
    assert (row.quarantine_kind, row.quarantined_by, row.quarantined_until) == ("hand", "olga", None)
    assert stage_of(alone) == "held"
    assert not takes_jobs(row)
    assert not quarantine.acquit(alone.pk, reason="x")

    assert quarantine.set_quarantine(alone.pk, enabled=False, actor=OLGA, reason="Fan changed")
    assert not quarantine.set_quarantine(alone.pk, enabled=False, actor=OLGA)
    assert takes_jobs(row_of(alone))
    assert events(alone) == [
        ("quarantined", "olga", "Smoke"),
        ("quarantine_ended", "olga", "Fan changed"),
    ]


@database
def test_what_is_not_named_when_it_is_asked_again_stays(server: BuildServer) -> None:
    until = timezone.now() + HOUR
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke", until=until)

    assert not quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, kept={"reason", "until"})
    assert quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Fire", kept={"until"})
    assert (row_of(server).quarantine_reason, row_of(server).quarantined_until) == ("Fire", until)
    assert quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, kept={"reason"})
    assert (row_of(server).quarantine_reason, row_of(server).quarantined_until) == ("Fire", None)


@database
def test_an_end_that_has_passed_is_not_kept(server: BuildServer) -> None:
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Fire", until=timezone.now())

    assert quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, kept={"reason", "until"})

    server.refresh_from_db()
    assert (server.quarantine_reason, server.quarantined_until) == ("Fire", None)


@database
def test_nothing_of_the_boards_own_quarantine_is_kept_by_a_persons(server: BuildServer) -> None:
    quarantine.quarantine_for_fault(server.pk, reason=REASON)

    assert quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, kept={"reason", "until"})

    row = row_of(server)
    assert (row.quarantine_kind, row.quarantine_reason, row.quarantined_until) == ("hand", "", None)


@database
def test_one_without_an_end_is_one_for_the_release_before_too(server: BuildServer) -> None:
    """It knows a quarantine by an end that is yet to come alone."""
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke")

    assert BuildServer.objects.filter(quarantined_until__gt=timezone.now() + timedelta(days=9999)).exists()
    assert row_of(server).quarantined_until is None
    (facts_of,) = [one for one in load_fleet() if one.id == server.pk]
    assert facts_of.quarantined_until is None


@database
def test_one_with_an_end_comes_back_through_a_canary_too(server: BuildServer) -> None:
    until = timezone.now() + HOUR
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke", until=until)
    assert row_of(server).quarantined_until == until
    pass_the_wait(server)

    assert quarantine.take_canary(row_of(server), holder=CANARY)
    assert quarantine.keep_longer(server.pk, canary=CANARY, reason="Again.")

    assert (row_of(server).quarantine_level, stage_of(server)) == (2, "held")


@database
def test_a_person_ends_the_boards_own_and_its_level_is_forgotten(server: BuildServer) -> None:
    put_on_trial(server)

    assert quarantine.set_quarantine(server.pk, enabled=False, actor=OLGA)

    assert (row_of(server).quarantine_level, stage_of(server)) == (0, "none")


# ---- host keys --------------------------------------------------------------------------------------------


@database
def test_a_changed_key_lasts_until_the_key_is_settled(server: BuildServer) -> None:
    quarantine.hold_for_key(server.pk, reason="Its host key changed.")
    quarantine.hold_for_key(server.pk, reason="Its host key changed again.")

    assert (row_of(server).quarantine_kind, row_of(server).quarantined_until) == ("host_key", None)
    for enabled in (True, False):
        with pytest.raises(ServerConflict, match="accept that key"):
            quarantine.set_quarantine(server.pk, enabled=enabled, actor=OLGA)
    assert not quarantine.quarantine_for_fault(server.pk, reason=REASON)

    quarantine.forget_key(server.pk, reason="The key is accepted.", actor=OLGA)
    assert stage_of(server) == "none"
    assert events(server) == [
        ("quarantined", "", "Its host key changed."),
        ("quarantine_ended", "olga", "The key is accepted."),
    ]


@database
def test_a_changed_key_leaves_the_decision_of_a_person_alone(server: BuildServer) -> None:
    quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke")

    quarantine.hold_for_key(server.pk, reason="Its host key changed.")
    quarantine.forget_key(server.pk, reason="The key is accepted.")

    assert (row_of(server).quarantine_kind, row_of(server).quarantine_reason) == ("hand", "Smoke")


@database
@pytest.mark.parametrize(("by_hand", "expected"), [(False, "none"), (True, "held")])
def test_another_machine_at_its_address_begins_anew(
    server: BuildServer, by_hand: bool, expected: str
) -> None:
    if by_hand:
        quarantine.set_quarantine(server.pk, enabled=True, actor=OLGA, reason="Smoke")
    else:
        quarantine.quarantine_for_fault(server.pk, reason=REASON)

    quarantine.forget_machine(server.pk, actor=OLGA)

    assert (stage_of(server), row_of(server).quarantine_level) == (expected, 0)
    assert row_of(server).quarantine_ended_at is not None


@database
def test_what_is_not_there_any_more_is_nobodys_business() -> None:
    gone = uuid.uuid4()

    assert not quarantine.quarantine_for_fault(gone, reason=REASON)
    assert not quarantine.set_quarantine(gone, enabled=True, actor=OLGA)
    quarantine.hold_for_key(gone, reason="x")
    quarantine.forget_machine(gone, actor=OLGA)

    assert Event.objects.count() == 0
