"""Times as clients write them and as the board answers them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from buildboard.core.instants import read_instant, utc_text

AT = datetime(2026, 1, 16, 6, 13, 7, 741807, tzinfo=UTC)


def test_time_is_answered_in_utc_with_microseconds() -> None:
    assert utc_text(AT) == "2026-01-16T06:13:07.741807Z"
    assert utc_text(AT.astimezone(timezone(timedelta(hours=2)))) == "2026-01-16T06:13:07.741807Z"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-16T06:13:07.741807Z",
        "2026-01-16T06:13:07.741807",
        "2026-01-16 06:13:07.741807",
        "2026-01-16T08:13:07.741807+02:00",
        "2026-01-16T08:13:07.741807 02:00",
        "2026-01-16T01:13:07.741807-0500",
    ],
)
def test_time_is_read_with_any_offset(text: str) -> None:
    assert read_instant(text) == AT


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "now", "2026", "2026-13-01", "2026-01-16T25:00:00", "2026-01-16T06:13:07+99:00", "1" * 65),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31", "2026-01-16T06:13:07Z\n"),
        *(5, 1768543987.5, None, True, ["2026-01-16"]),
    ],
)
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^write a (time|year)"):
        read_instant(value)
