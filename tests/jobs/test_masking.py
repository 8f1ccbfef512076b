"""Masking: no form of a secret is kept, wherever the stream is cut, and the offsets stay true."""

import base64
import json
import shlex
import textwrap
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.logs.masking import (
    MASK,
    MAX_SECRET_BYTES,
    Decided,
    Masker,
    build_masker,
    secret_forms,
    validate_secret_value,
)

TOKEN = "s3cr3t/tok'en \"$x+y"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"


def follow(masker: Masker, stream: bytes, cuts: list[int]) -> tuple[bytes, int]:
    """Read `stream` as a follower does: always from `source_read`, with ever more of the stream there."""
    kept, source_read = b"", 0
    for end in (*sorted(cuts), len(stream)):
        decided = masker.decide(stream[source_read:end], final=False)
        assert end - source_read - decided.consumed < max(masker.longest, 1)
        kept, source_read = kept + decided.kept, source_read + decided.consumed
    decided = masker.decide(stream[source_read:], final=True)
    return kept + decided.kept, source_read + decided.consumed


def leftmost_longest(forms: frozenset[bytes], stream: bytes) -> bytes:
    """The rule of the module, written down in the plainest way."""
    kept, at = b"", 0
    while at < len(stream):
        form = max((form for form in forms if stream.startswith(form, at)), key=len, default=b"")
        kept, at = (kept + MASK, at + len(form)) if form else (kept + stream[at : at + 1], at + 1)
    return kept


def base64_inside(secret: str, before: int) -> bytes:
    return base64.b64encode(b"user:abc"[:before] + secret.encode() + b"|and what follows")


@pytest.mark.parametrize("value", ["four", TOKEN, KEY, "pa.ss(w)[o]rd*+?", "münchen-schlüssel", "a" * 40])
def test_secret_cut_at_every_byte_is_not_kept(value: str) -> None:
    masker = build_masker({"S": value})
    before, after = b"\x00\xff\xfe run ", b"\xf0\x9f end\n"
    stream = before + value.encode() + after
    assert value.encode() in stream

    for cut in range(len(stream) + 1):
        assert follow(masker, stream, [cut]) == (before + MASK + after, len(stream))


def test_secret_given_one_byte_at_a_time_is_not_kept() -> None:
    masker = build_masker({"S": KEY, "T": TOKEN})
    stream = f"a {TOKEN} b\n{KEY}{TOKEN}{TOKEN} c".encode()

    kept, consumed = follow(masker, stream, list(range(len(stream))))

    assert (kept, consumed) == (b"a *** b\n********* c", len(stream))


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        (TOKEN, "***"),
        (quote(TOKEN), "***"),
        (quote(TOKEN, safe=""), "***"),
        (quote(TOKEN, safe="").lower(), "***"),
        (quote_plus(TOKEN), "***"),
        (json.dumps(TOKEN), '"***"'),
        (json.dumps({"token": TOKEN}).replace("/", "\\/"), '{"token": "***"}'),
        (shlex.quote(TOKEN), "'***'"),
        ("'" + TOKEN.replace("'", "'\\''") + "'", "'***'"),
        ('"s3cr3t/tok\'en \\"\\$x+y"', '"***"'),
        ("s3cr3t/tok\\'en\\ \\\"\\$x+y", "***"),
        (repr(TOKEN), "'***'"),
        ("s3cr3t/tok&#x27;en &quot;$x+y", "***"),
        (base64.b64encode(TOKEN.encode()).decode(), "***"),
    ],
)
def test_each_form_of_a_secret_is_replaced(shown: str, kept: str) -> None:
    masker = build_masker({"S": TOKEN})

    assert masker.decide(f"<{shown}>".encode(), final=True).kept == f"<{kept}>".encode()


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("table", [b"+/", b"-_"])
def test_base64_of_a_text_around_the_secret_shows_nothing_of_it(before: int, table: bytes) -> None:
    secret = "~~??>>tok?>~en~~"  # its base64 holds both `+` and `/`
    masker = build_masker({"S": secret})
    stream = base64_inside(secret, before).translate(bytes.maketrans(b"+/", table))
    assert secret.encode() in base64.b64decode(stream, altchars=table)
    assert set(stream) & set(table)

    for cut in range(len(stream) + 1):
        kept, consumed = follow(masker, stream, [cut])

        assert consumed == len(stream)
        assert kept.count(MASK) == 1
        # At each border one character of mixed bits may stay: five bits of the secret at most.
        assert len(stream) - len(kept) + len(MASK) >= 8 * len(secret) // 6 - 1


@pytest.mark.parametrize("columns", [64, 76])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("echoed", [b"", b"\n"])
def test_wrapped_base64_of_a_long_secret_is_replaced(columns: int, newline: bytes, echoed: bytes) -> None:
    secret = "".join(chr(33 + 7 * i % 90) for i in range(150))
    encoded = base64.b64encode(secret.encode() + echoed).decode()
    stream = newline.join(row.encode() for row in textwrap.wrap(encoded, columns))
    assert stream.count(newline) >= 2

    kept = build_masker({"S": secret}).decide(stream, final=True).kept

    assert encoded.endswith(kept.replace(MASK, b"").decode())
    assert len(kept.replace(MASK, b"")) <= 4


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_multi_line_secret_is_replaced_whole_with_either_line_ending(newline: str) -> None:
    shown = KEY.replace("\n", newline)
    masker = build_masker({"S": KEY})

    assert masker.decide(f"<{shown}>".encode(), final=True).kept == b"<***>"
    assert build_masker({"S": shown}).decide(f"<{KEY}>".encode(), final=True).kept == b"<***>"


def test_lines_of_a_multi_line_secret_are_replaced_alone_from_six_characters_on() -> None:
    masker = build_masker({"S": "first line\n  indented line\nfive5\nsixsix"})

    shown = b"+ first line\n> indented line;\nfive5 sixsix\n"

    assert masker.decide(shown, final=True).kept == b"+ ***\n> ***;\nfive5 ***\n"


def test_secret_without_its_surrounding_space_is_replaced() -> None:
    masker = build_masker({"S": "  tok-en-1234\n"})

    assert masker.decide(b"[tok-en-1234]", final=True).kept == b"[***]"


def test_secret_that_begins_another_is_replaced_by_the_longer_one_when_that_comes() -> None:
    masker = build_masker({"SHORT": "hunter", "LONG": "hunter2-long"})

    assert masker.decide(b"hunter", final=False) == Decided(b"", 0)
    assert masker.decide(b"hunter2-lo", final=False) == Decided(b"", 0)
    assert masker.decide(b"hunter2-long", final=False) == Decided(MASK, 12)
    assert masker.decide(b"hunter2-lx", final=False) == Decided(b"***2-lx", 10)
    assert masker.decide(b"hunter2-lo", final=True) == Decided(b"***2-lo", 10)


def test_overlapping_secrets_lose_the_first_whole_and_part_of_the_second() -> None:
    masker = build_masker({"A": "abcdefgh", "B": "efghijkl"})

    for cut in range(14):
        assert follow(masker, b"x abcdefghijkl", [cut]) == (b"x ***ijkl", 14)


def test_held_back_bytes_are_only_those_that_may_begin_a_form() -> None:
    masker = build_masker({"S": "swordfish"})

    assert masker.decide(b"catch a sword", final=False) == Decided(b"catch a ", 8)
    assert masker.decide(b"catch a swore", final=False) == Decided(b"catch a swore", 13)
    assert masker.decide(b"sswordfis", final=False) == Decided(b"s", 1)
    assert masker.decide(b"swordfis", final=True) == Decided(b"swordfis", 8)


def test_progress_is_made_whenever_more_than_the_longest_form_is_given() -> None:
    masker = build_masker({"S": "a" * 30 + "b"})

    decided = masker.decide(b"a" * masker.longest, final=False)

    assert decided.consumed > 0


def test_no_secrets_keep_everything_as_it_is() -> None:
    data = bytes(range(256))

    assert build_masker({}).decide(data, final=False) == Decided(data, 256)
    assert build_masker({"S": TOKEN}).decide(b"", final=False) == Decided(b"", 0)


@pytest.mark.parametrize("value", ["", "abc", "   ", " ab \n", "\n\n\n\n"])
def test_short_secret_is_refused_and_not_masked(value: str) -> None:
    with pytest.raises(ValueError, match="at least 4 characters"):
        validate_secret_value(value)

    assert secret_forms(value) == frozenset()
    shown = b"abc    \n\n\n\n ab "
    assert build_masker({"S": value}).decide(shown, final=False).kept == shown


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("abcd\0", "A secret cannot hold a NUL character."),
        ("abcd\ud800", "A secret must be valid Unicode text."),
        ("é" * (MAX_SECRET_BYTES // 2 + 1), "A secret can be 64 KiB at most."),
    ],
)
def test_secret_that_no_environment_can_hold_is_refused(value: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        validate_secret_value(value)

    assert str(refused.value) == sentence


def test_good_secret_values_are_accepted() -> None:
    for value in ("abcd", TOKEN, KEY, "x" * MAX_SECRET_BYTES):
        validate_secret_value(value)


def test_form_under_four_bytes_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least 4 bytes"):
        Masker(frozenset({b"abc"}))


def test_text_is_masked_even_where_it_is_not_valid_unicode() -> None:
    masker = build_masker({"S": "schlüssel"})

    assert masker.mask_text("fatal: \ud800 x:schlüssel@h schl") == "fatal: \ud800 x:***@h schl"


# A small alphabet makes secrets overlap, repeat and begin one another; `*` is left out because a kept `*`
# beside a mask can spell a secret that was never in the stream.
values = st.one_of(
    st.text("ab\n", min_size=4, max_size=12),
    st.text("ab1'\"$ \\/+?é\r\n", min_size=4, max_size=20),
    st.text(st.characters(exclude_characters="*\0", exclude_categories=["Cs"]), min_size=4, max_size=40),
).filter(lambda value: len(value.strip()) >= 4)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Masker, frozenset[bytes], bytes]:
    """A masker and a stream made of whole forms, beginnings and ends of forms, and noise."""
    secrets = draw(st.lists(values, min_size=1, max_size=3))
    forms = frozenset[bytes]().union(*map(secret_forms, secrets))
    form = st.sampled_from(sorted(forms))
    noise = st.one_of(st.binary(max_size=6), st.text("ab\n", max_size=6).map(str.encode))
    piece = st.one_of(
        form,
        noise,
        st.tuples(form, st.integers(1, 12)).map(lambda cut: cut[0][: cut[1]]),
        st.tuples(form, st.integers(1, 12)).map(lambda cut: cut[0][cut[1] :]),
    )
    leak = draw(form)
    parts = [*draw(st.lists(piece, max_size=8)), leak, *draw(st.lists(piece, max_size=8))]
    return build_masker({str(i): value for i, value in enumerate(secrets)}), forms, b"".join(parts)


@given(case=streams(), data=st.data())
def test_any_split_of_any_stream_keeps_the_same_bytes_and_no_form(
    case: tuple[Masker, frozenset[bytes], bytes], data: st.DataObject
) -> None:
    masker, forms, stream = case
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert any(form in stream for form in forms)

    kept, consumed = follow(masker, stream, cuts)

    assert consumed == len(stream)
    assert kept == leftmost_longest(forms, stream)
    assert kept == masker.decide(stream, final=True).kept
    assert not [form for form in forms if b"*" not in form and form in kept]


@given(case=streams())
def test_reading_byte_by_byte_keeps_what_reading_at_once_keeps(
    case: tuple[Masker, frozenset[bytes], bytes],
) -> None:
    masker, _, stream = case

    assert follow(masker, stream, list(range(len(stream)))) == (
        masker.decide(stream, final=True).kept,
        len(stream),
    )


@given(value=values, before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_base64_around_any_secret_never_decodes_to_it(value: str, before: bytes, after: bytes) -> None:
    stream = base64.b64encode(before + value.encode() + after)
    assert value.encode() in base64.b64decode(stream)

    kept = build_masker({"S": value}).decide(stream, final=True).kept

    # What is left of the secret's characters is at most one of mixed bits at each border.
    masked = len(stream) - len(kept.replace(MASK, b""))
    assert masked >= 8 * len(value.encode()) // 6 - 1
