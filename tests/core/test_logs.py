"""Process logs: one record, one line, whatever is in it."""

import logging
import sys

import pytest

from buildboard.core.logs import LineFormatter, escape_control


def line_of(message: str, *args: object, **extra: object) -> str:
    record = logging.makeLogRecord(
        {
            "name": "jobs.x",
            "levelname": "INFO",
            "msg": message,
            "args": args,
            "created": 1_700_000_000.5,
            **extra,
        }
    )
    return LineFormatter().format(record)


def test_a_line_has_time_level_logger_message_and_extras_in_order() -> None:
    line = line_of("started %s", "it", job="j1", action="start", request=object())

    assert line == "2023-11-14T22:13:20.500Z INFO jobs.x started it action=start job=j1"


def test_a_forged_line_stays_in_its_own() -> None:
    line = line_of("login of %s failed", "user\r\n2026-01-01 INFO fake", actor="x\nINFO other", empty="")

    assert line.splitlines() == [line]
    assert line.endswith('login of user\\r\\n2026-01-01 INFO fake failed actor="x\\nINFO other" empty=""')


def test_quotes_and_equal_signs_cannot_forge_another_extra() -> None:
    assert line_of("m", who='a" role="admin').endswith('m who="a\\" role=\\"admin"')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\tb\x00c\x7f", "a\\tb\\x00c\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u2028\u202eevil\u2069", "\\u2028\\u202eevil\\u2069"),
        ("\ud800", "\\ud800"),
        ("Grüße 😀", "Grüße 😀"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert escape_control(text) == shown


def test_a_traceback_stays_on_the_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        line = line_of("failed", exc_info=sys.exc_info())

    assert "\n" not in line
    assert line.endswith("ValueError: first\\nsecond")
    assert "failed traceback=Traceback (most recent call last):\\n" in line
