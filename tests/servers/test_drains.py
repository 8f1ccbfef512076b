"""Maintenance, drains and removals: who took a server out, why, until when, and how each of them ends."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.utils import timezone

from buildboard.core.audit import BOARD, Actor
from buildboard.core.instants import utc_text
from buildboard.core.models import Event
from servers import drains
from servers.drains import end_what_is_over, set_draining, set_maintenance
from servers.errors import InvalidServer, ServerConflict
from servers.fields import check_outage
from servers.health import note_reached
from servers.models import BuildServer
from servers.registry import change_server
from servers.removals import request_removal, wished_removals, withdraw_removal
from servers.states import ServerStatus
from servers.validation import Invalid, read_until
from tests.factories import make_server

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "page")
ADA = Actor("ada", "api")


def row(server: BuildServer, *columns: str) -> tuple[object, ...]:
    return tuple(BuildServer.objects.values_list(*columns).get(pk=server.pk))


def told(server: BuildServer) -> list[tuple[str, str, str]]:
    events = Event.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("sequence")
    return list(events.values_list("kind", "actor", "reason"))


DRAIN = ("draining", "draining_reason", "draining_until", "draining_by")


def test_a_drain_says_who_why_and_until_when_and_is_over_without_a_trace() -> None:
    server, until = make_server(), timezone.now() + timedelta(hours=2)

    assert set_draining(server.pk, enabled=True, actor=OLGA, reason="Disks.", until=until) is True
    begun = row(server, *DRAIN)
    since = row(server, "draining_since")
    assert set_draining(server.pk, enabled=True, actor=OLGA, reason="Disks.", until=until) is False
    assert set_draining(server.pk, enabled=True, actor=OLGA, reason="Memory.") is True
    assert (row(server, *DRAIN), row(server, "draining_since")) == ((True, "Memory.", None, "olga"), since)
    assert set_draining(server.pk, enabled=False, actor=OLGA) is True
    assert set_draining(server.pk, enabled=False, actor=OLGA) is False

    assert begun == (True, "Disks.", until, "olga")
    assert row(server, *DRAIN, "draining_since") == (False, "", None, "", None)
    assert told(server) == [
        ("drain_started", "olga", "Disks."),
        ("drain_changed", "olga", "Memory."),
        ("drain_ended", "olga", ""),
    ]


def test_a_drain_that_is_changed_with_other_fields_is_the_same_drain() -> None:
    server = make_server()

    change_server(server, {"draining": True, "draining_reason": "Moves.", "group": "south"}, actor=OLGA)
    change_server(server, {"draining_reason": "Has moved."}, actor=OLGA)
    changed = row(server, *DRAIN)
    change_server(server, {"draining": False}, actor=OLGA)

    assert changed == (True, "Has moved.", None, "olga")
    assert row(server, *DRAIN) == (False, "", None, "")
    assert [kind for kind, *_ in told(server)] == [
        "server_changed",
        "drain_started",
        "drain_changed",
        "drain_ended",
    ]


@pytest.mark.parametrize("field", ["draining_reason", "draining_until"])
def test_a_reason_or_an_end_without_a_drain_is_refused(field: str) -> None:
    server = make_server()
    value = {"draining_reason": "Moves.", "draining_until": timezone.now() + timedelta(hours=1)}[field]

    with pytest.raises(InvalidServer, match="goes with draining"):
        change_server(server, {field: value}, actor=OLGA)
    assert told(server) == []


def test_what_has_an_end_ends_by_itself_and_maintenance_through_a_probe() -> None:
    now = timezone.now()
    drained, mended, later, forever = (make_server(name) for name in ("d", "m", "l", "f"))
    for server, until in ((drained, now), (later, now + timedelta(hours=1)), (forever, None)):
        set_draining(server.pk, enabled=True, actor=OLGA, until=until)
    set_maintenance(mended.pk, enabled=True, actor=OLGA, reason="Kernel.", until=now)

    assert end_what_is_over() == 2
    assert end_what_is_over() == 0

    at = f"{now:%Y-%m-%d %H:%M} UTC"
    assert told(drained)[-1] == ("drain_ended", "", f"It was to end at {at}.")
    assert told(mended)[-1] == ("status", "", f"It was to end at {at}. A probe brings it back in.")
    assert row(mended, "status", "maintenance_until", "status_changed_by") == ("unknown", None, "")
    assert [row(server, "draining") for server in (drained, later, forever)] == [(False,), (True,), (True,)]
    note_reached(mended.pk)
    assert row(mended, "status") == ("online",)


def test_maintenance_keeps_who_began_it_and_takes_another_reason_and_end() -> None:
    server, until = make_server(), timezone.now() + timedelta(hours=1)
    columns = ("status", "status_reason", "status_changed_by", "maintenance_until")

    set_maintenance(server.pk, enabled=True, actor=OLGA, reason="Kernel.")
    since = row(server, "status_changed_at")
    asked = [set_maintenance(server.pk, enabled=True, actor=ADA, reason="Disk.", until=until) for _ in "ab"]
    changed = row(server, *columns)
    assert set_maintenance(server.pk, enabled=True, actor=ADA, reason="Disk.") is True

    assert (asked, changed) == ([True, False], (ServerStatus.MAINTENANCE, "Disk.", "olga", until))
    assert row(server, *columns) == (ServerStatus.MAINTENANCE, "Disk.", "olga", None)
    assert row(server, "status_changed_at") == since
    set_maintenance(server.pk, enabled=False, actor=OLGA)
    assert row(server, *columns) == (ServerStatus.UNKNOWN, "", "olga", None)
    assert set_maintenance(server.pk, enabled=False, actor=OLGA) is False
    assert told(server) == [
        ("status", "olga", "Kernel."),
        ("maintenance_changed", "ada", "Disk."),
        ("maintenance_changed", "ada", "Disk."),
        ("status", "olga", ""),
    ]
    ends = Event.objects.filter(kind="maintenance_changed").order_by("sequence")
    assert list(ends.values_list("data", flat=True)) == [{"until": utc_text(until)}, {}]


@pytest.mark.parametrize(
    ("set_out", "columns"),
    [
        (set_draining, ("draining_reason", "draining_until", "draining_by")),
        (set_maintenance, ("status_reason", "maintenance_until", "status_changed_by")),
    ],
)
def test_what_is_kept_stays_and_so_does_who_began_it(
    set_out: Callable[..., bool], columns: tuple[str, ...]
) -> None:
    server, until = make_server(), timezone.now() + timedelta(hours=1)
    again = partial(set_out, server.pk, enabled=True, actor=ADA)

    set_out(server.pk, enabled=True, actor=OLGA, reason="Disks.", until=until, kept={"reason"})
    same = again(kept={"reason", "until"})
    seen = [row(server, *columns)]
    again(reason="Memory.", kept={"until"})
    seen.append(row(server, *columns))
    again(kept={"reason"})
    seen.append(row(server, *columns))

    assert same is False
    assert seen == [("Disks.", until, "olga"), ("Memory.", until, "olga"), ("Memory.", None, "olga")]


@pytest.mark.parametrize("set_out", [set_draining, set_maintenance])
def test_an_end_that_is_put_off_when_it_comes_holds(
    monkeypatch: pytest.MonkeyPatch, set_out: Callable[..., bool]
) -> None:
    server, now = make_server(), timezone.now()
    set_out(server.pk, enabled=True, actor=OLGA, until=now)

    def put_off_then_tell(until: datetime) -> str:
        set_out(server.pk, enabled=True, actor=OLGA, until=now + timedelta(hours=1))
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(drains, "_was_to_end", put_off_then_tell)
        assert end_what_is_over() == 0

    ends = set(row(server, "draining_until", "maintenance_until"))
    assert ends == {None, now + timedelta(hours=1)}


@pytest.mark.parametrize("ahead", [timedelta(seconds=-1), timedelta(days=400)])
def test_an_end_lies_ahead_and_not_too_far(ahead: timedelta) -> None:
    with pytest.raises(InvalidServer) as refused:
        check_outage(reason="\0", until=timezone.now() + ahead)

    assert [problem["field"] for problem in refused.value.problems] == ["reason", "until"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", None),
        ("2026-01-16T14:00", "2026-01-16T14:00:00+00:00"),
        ("2026-01-16 14:00+02:00", "2026-01-16T14:00:00+02:00"),
    ],
)
def test_an_end_is_read_in_utc_unless_it_names_a_zone(text: str, read: str | None) -> None:
    at = read_until(text)

    assert (at.isoformat() if at else None) == read


def test_an_end_that_is_no_time_says_how_to_write_one() -> None:
    with pytest.raises(Invalid, match="2026-01-16 14:00"):
        read_until("at two")


# ---- removals -------------------------------------------------------------------------------------------


def test_a_removal_drains_until_it_is_taken_back() -> None:
    server = make_server("one")

    assert request_removal(server, actor=OLGA, confirm=" one ", reason="Sold.") is True
    assert request_removal(server, actor=Actor("ada"), confirm="one") is False
    wished = row(server, "removal_requested_by", "removal_reason", "draining", "draining_reason")
    assert [one.pk for one in wished_removals()] == [server.pk]
    with pytest.raises(ServerConflict, match="is being removed"):
        set_draining(server.pk, enabled=False, actor=OLGA)
    BuildServer.objects.update(draining_until=timezone.now())
    assert end_what_is_over() == 0
    assert withdraw_removal(server, actor=OLGA) is True
    assert withdraw_removal(server, actor=OLGA) is False

    assert wished == ("olga", "Sold.", True, "It is being removed from the fleet.")
    assert row(server, "removal_requested_at", "draining") == (None, False)
    assert [kind for kind, *_ in told(server)] == [
        "drain_started",
        "removal_requested",
        "removal_withdrawn",
        "drain_ended",
    ]
    assert wished_removals() == []


def test_a_removal_needs_the_name_and_nobody_behind_it() -> None:
    server = make_server("one", transport="ssh", hostname="h", ssh_username="u")
    make_server("behind", transport="ssh", hostname="b", ssh_username="u", jump_host=server)

    with pytest.raises(InvalidServer, match="Write the server's name, one"):
        request_removal(server, actor=OLGA, confirm="two")
    with pytest.raises(ServerConflict, match="the jump host of behind"):
        request_removal(server, actor=OLGA, confirm="one")
    assert (told(server), row(server, "draining")) == ([], (False,))


def test_the_board_is_nobody_by_name() -> None:
    server = make_server(status=ServerStatus.OFFLINE, status_changed_by="olga")

    note_reached(server.pk)

    assert row(server, "status", "status_changed_by") == ("online", BOARD.name)
