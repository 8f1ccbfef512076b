"""How a line looks: terminal behaviour, colours in normal form, nothing hidden and nothing dangerous left."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.logs.lines import MAX_COLUMNS, ShownLine, show_line, show_lines
from jobs.logs.sgr import PLAIN, Sgr, apply_sgr, state_behind

SGR_FORM = re.compile(r"\x1b\[0(?:;\d{1,3})*m")
FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def shown(line: str) -> str:
    return show_line(line)[0].text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain text", "plain text"),
        ("tab\tkept", "tab\tkept"),
        ("windows\r", "windows"),
        ("10%\r20%\r100%", "100%"),
        ("long first\rshort", "shortfirst"),
        ("abc\b\bX", "aXc"),
        ("\b\bx", "x"),
        ("loading\r\x1b[Kdone", "done"),
        ("loading\x1b[2K\rdone", "done"),
        ("loading\x1b[1G\x1b[0Kdone", "done"),
        ("abcdef\b\b\x1b[1KX", "    Xf"),
        ("abcdef\x1b[1K", ""),
        ("abc\x1b[2Kd", "   d"),
        ("abcdef\x1b[3GX", "abXdef"),
        ("abc\x1b[99GX", "abcX"),
        ("abc\x1b[0GX", "Xbc"),
        ("abc\x1b[999999999999GX", "abcX"),
        ("a\x1b[?25lb\x1b[2Ac\x1b[Hd\x1b[2Je", "abcde"),
        ("a\x1b7b\x1b(Bc\x1b=d\x1bce", "abcde"),
    ],
)
def test_a_line_is_what_a_terminal_would_leave_of_it(line: str, expected: str) -> None:
    assert show_line(line) == (ShownLine(expected, cut=False), PLAIN)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\", "link"),
        ('\x1b]8;;https://e/"onmouseover="alert(1)\x07link', "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1bPq#0;2;0\x1b\\text\x1b_hidden\x1b\\", "text"),
        ("\x1b]8;;never ended", "8;;never ended"),
        ("\x1b]0;one\x1b]0;two\x07three", "0;onethree"),
        ("\x1b[12;34", "12;34"),
        ("end\x1b", "end\\x1b"),
        ("\x1b\x1b[31", "\\x1b31"),
        ("bell\x07 nul\x00 del\x7f csi\x9b31m", "bell\\x07 nul\\x00 del\\x7f csi\\x9b31m"),
        ("abc\u202edcba\u202c \u2066x\u2069\u200f", "abc\\u202edcba\\u202c \\u2066x\\u2069\\u200f"),
        ("two\u2028lines", "two\\u2028lines"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
    ],
)
def test_sequences_are_dropped_and_control_characters_made_visible(line: str, expected: str) -> None:
    assert shown(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b[31mred\x1b[0m plain", "\x1b[0;31mred\x1b[0m plain"),
        ("\x1b[31mred\x1b[m plain", "\x1b[0;31mred\x1b[0m plain"),
        ("\x1b[1;4;92;41mx", "\x1b[0;1;4;92;41mx"),
        ("\x1b[31m\x1b[32m\x1b[32mgreen\x1b[39m", "\x1b[0;32mgreen"),
        ("\x1b[38;5;208mx\x1b[48;2;1;2;3my", "\x1b[0;38;5;208mx\x1b[0;38;5;208;48;2;1;2;3my"),
        (
            "\x1b[38:5:208mx\x1b[48:2::1:2:3my\x1b[48:2:9:9:9mz",
            "\x1b[0;38;5;208mx\x1b[0;38;5;208;48;2;1;2;3my\x1b[0;38;5;208;48;2;9;9;9mz",
        ),
        ("\x1b[4:3mcurly\x1b[4:0mnone", "\x1b[0;4mcurly\x1b[0mnone"),
        ("\x1b[1;2;3;7;9;22;23;27;29mx", "x"),
        ("\x1b[38;5mx\x1b[38;5;999my\x1b[38mz\x1b[38;2;1;2mw", "xyzw"),
        ("\x1b[38;5;1:2mx", "\x1b[0;38;5;1mx"),
        ("\x1b[8;5mhidden is shown", "hidden is shown"),
        ("\x1b[>4m\x1b[31;?mx", "x"),
        ("\x1b[" + "1;" * 200 + "mx", "x"),
        ("\x1b[00031mx", "\x1b[0;31mx"),
        ("\x1b[" + "9" * 200 + "mx", "x"),
        ("\x1b[31mabc\r\x1b[32mX", "\x1b[0;32mX\x1b[0;31mbc"),
        ("\x1b[44mabc\x1b[1Kd", "   \x1b[0;44md"),
    ],
)
def test_colours_are_kept_in_one_normal_form(line: str, expected: str) -> None:
    assert shown(line) == expected


def test_each_line_begins_with_the_colours_in_force() -> None:
    lines = ["\x1b[1;31mred", "still red", "", "\x1b[0mplain", "plain"]

    assert [line.text for line in show_lines(lines)] == [
        "\x1b[0;1;31mred",
        "\x1b[0;1;31mstill red",
        "",
        "plain",
        "plain",
    ]
    assert state_behind("", "\n".join(lines[:3]).encode()) == Sgr("31", "", frozenset({1}))
    assert state_behind("", "\n".join(lines).encode()) == PLAIN
    assert state_behind(str(Sgr("31")), b"nothing") == Sgr("31")


def test_a_long_line_is_cut_at_its_columns_and_says_so() -> None:
    assert show_line("x" * MAX_COLUMNS)[0] == ShownLine("x" * MAX_COLUMNS, cut=False)
    assert show_line("x" * (MAX_COLUMNS + 1))[0] == ShownLine("x" * MAX_COLUMNS, cut=True)
    assert show_line("x" * (MAX_COLUMNS + 1) + "\x00")[0] == ShownLine("x" * MAX_COLUMNS, cut=True)
    progress = "".join(f"\r{number:>6}%" for number in range(50_000))
    assert show_line(progress)[0] == ShownLine(" 49999%", cut=False)


@pytest.mark.parametrize(
    "unit",
    [
        "\x1b]8;;",
        "\x1b[",
        "\x1b[1",
        "\x1b",
        "\x1bP",
        "\x1b[31m",
        "\r\x1b[16384G\x1b[1Kx",
        "\x1b[2Kx",
        "x\x1b[1K",
        "\b",
        "\r",
        "\x1b[" + ";" * 100,
        "\x1b[0 ",
        "\x1b]\x1b",
    ],
)
def test_a_mebibyte_of_a_hostile_line_ends(unit: str) -> None:
    """Anything quadratic would take hours here and end in the test's time-out."""
    line = "y" * MAX_COLUMNS + unit * ((1 << 20) // len(unit))

    text = shown(line)

    assert not FORBIDDEN.search(SGR_FORM.sub("", text))


PIECES = st.one_of(
    st.text(max_size=5),
    st.characters(max_codepoint=0xFF),
    st.sampled_from(
        [
            "\x1b[",
            "\x1b]",
            "\x1b",
            "m",
            "K",
            "1",
            "2",
            "31;",
            "38;5;1",
            "\r",
            "\b",
            "\x07",
            "\x1b\\",
            "\u202e",
            "\x9b",
            "G",
            ":",
            "abc",
        ]
    ),
)


@given(st.lists(PIECES, max_size=40).map("".join))
@example("\x1b[38;5:1m")
def test_nothing_but_colours_in_normal_form_is_left(line: str) -> None:
    (result, state) = show_line(line)

    rest = SGR_FORM.sub("", result.text)
    assert not FORBIDDEN.search(rest)
    assert state == state_behind("", line.encode())
    assert show_line(result.text)[0].text == result.text


@given(st.lists(PIECES, max_size=40).map("".join))
def test_text_that_moves_nowhere_is_all_shown(line: str) -> None:
    """Without what moves or erases: the input minus whole sequences, with escapes for the rest."""
    still = line.replace("\r", "").replace("\b", "").replace("G", "").replace("K", "")
    without = re.sub(
        r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]", "", still
    )
    expected = FORBIDDEN.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else f"\\u{ord(found[0]):04x}", without
    )

    assert SGR_FORM.sub("", shown(still)) == expected


@given(st.text("0123456789;:", max_size=30), st.text("0123456789;:", max_size=30))
def test_the_normal_form_leads_to_the_same_state(first: str, second: str) -> None:
    state = apply_sgr(apply_sgr(PLAIN, first), second)

    assert state_behind(str(Sgr("35", "45", frozenset({1, 9}))), str(state).encode()) == state
