"""Strict JSON: what is refused, and that hostile bodies cost no more than friendly ones."""

import json
import math
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from buildboard.core.errors import ApiError
from buildboard.core.json_body import MAX_BODY_BYTES, parse_json, read_body, read_json
from buildboard.core.permissions import Role
from tests.factories import make_user

factory = RequestFactory()


def refusal(body: bytes | str, **options: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        parse_json(body, **options)
    return caught.value.status, caught.value.detail


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b" [] ", []),
        (b"-0.0", -0.0),
        ("[" * 20 + "]" * 20, json.loads("[" * 20 + "]" * 20)),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 25),
        (b'{"a": "\\"{", "b": {"a": 1}}', {"a": '"{', "b": {"a": 1}}),
        ("9" * 400, int("9" * 400)),
    ],
)
def test_good_json_is_parsed(body: bytes | str, value: object) -> None:
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is empty; send JSON."),
        (b" \n", "The body is empty; send JSON."),
        (
            b"{",
            "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2.",
        ),
        (
            b"{'a': 1}",
            "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2.",
        ),
        (b"[1] 2", "The body is not JSON: Extra data at line 1, column 5."),
        (b'"a', "The body is not JSON: Unterminated string starting at at line 1, column 1."),
        (b'"a\nb"', "The body is not JSON: Invalid control character at at line 1, column 3."),
        (
            b"\xef\xbb\xbf{}",
            "The body is not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1, column 1.",
        ),
        (b"\xff\xfe{\x00", "The body is not UTF-8 (byte 0)."),
        (b"NaN", "NaN is not JSON; use a number or null."),
        (b'{"a": -Infinity}', "-Infinity is not JSON; use a number or null."),
        (b"1e999", "The number 1e999 is too large."),
        ("9" * 401, "A number has more than 400 digits."),
        ("0." + "9" * 400, "A number has more than 400 digits."),
        ("[" * 21 + "]" * 21, "The body is nested more than 20 deep."),
        ("[" * 500_000, "The body is nested more than 20 deep."),
        ('{"a":' * 100_000, "The body is nested more than 20 deep."),
        (b'"a\\u0000b"', "A text holds a NUL or half of a surrogate pair, which cannot be stored."),
        (b'{"a\\u0000": 1}', "A text holds a NUL or half of a surrogate pair, which cannot be stored."),
        (b'[["\\ud800"]]', "A text holds a NUL or half of a surrogate pair, which cannot be stored."),
        (b'{"\\udc00": 1}', "A text holds a NUL or half of a surrogate pair, which cannot be stored."),
    ],
)
def test_bad_json_is_400_with_a_reason(body: bytes | str, detail: str) -> None:
    assert refusal(body) == (400, detail)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_only_an_object_will_do_where_one_is_expected(body: bytes) -> None:
    assert refusal(body, expect_object=True) == (400, "The body must be a JSON object, in braces.")


def test_a_key_given_twice_is_422_and_named() -> None:
    with pytest.raises(ApiError) as caught:
        parse_json(b'{"x": {"branch": "a", "b\\u0000": 1, "branch": "b", "b\\u0000": 2}}')

    assert caught.value.status == 422
    assert caught.value.errors == [
        {"field": "b\\x00", "message": "This key is given more than once."},
        {"field": "branch", "message": "This key is given more than once."},
    ]


@pytest.mark.parametrize("text", ['"' + '\\"' * 500_000, '"' * 1_000_000, "\\" * 1_000_000, '"a' * 500_000])
def test_quotes_without_end_are_looked_at_once(text: str) -> None:
    status, _ = refusal(text)

    assert status == 400


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(_json)
def test_what_json_can_write_comes_back(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        value = parse_json(body)
    except ApiError as error:
        assert error.status in (400, 422)  # either outcome is right
    else:
        assert not (isinstance(value, float) and not math.isfinite(value))


# ---- requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
def test_another_content_type_is_415(content_type: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_json(factory.generic("POST", "/api/x", b"{}", content_type=content_type))

    assert (caught.value.status, caught.value.code) == (415, "unsupported_media_type")


def test_a_charset_beside_the_content_type_is_fine() -> None:
    request = factory.generic("POST", "/api/x", b'{"a": 1}', content_type="application/json; charset=utf-8")

    assert read_json(request) == {"a": 1}


def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_413() -> None:
    body = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'

    fits = read_json(factory.generic("POST", "/", body, content_type="application/json"), expect_object=False)
    with pytest.raises(ApiError) as caught:
        read_json(factory.generic("POST", "/", body + b" ", content_type="application/json"))

    assert len(fits) == MAX_BODY_BYTES - 2
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_the_bytes_count_where_no_length_was_declared() -> None:
    request = ASGIRequest({"type": "http", "method": "POST", "path": "/", "headers": []}, BytesIO(b"a" * 51))

    with pytest.raises(ApiError) as caught:
        read_body(request, limit=50)

    assert caught.value.status == 413


def test_a_body_stays_readable_and_is_checked_again_against_a_smaller_limit() -> None:
    request = factory.generic("POST", "/", b"a" * 50)

    assert (read_body(request, limit=50), request.body, read_body(request)) == (b"a" * 50,) * 3
    request.META["CONTENT_LENGTH"] = "1"
    with pytest.raises(ApiError) as caught:
        read_body(request, limit=49)
    assert caught.value.status == 413


@pytest.mark.parametrize("declared", ["51", "9" * 30])
def test_a_declared_length_over_the_limit_is_413_before_anything_is_read(declared: str) -> None:
    request = factory.generic("POST", "/", b"", CONTENT_LENGTH=declared)

    with pytest.raises(ApiError) as caught:
        read_body(request, limit=50)

    assert caught.value.status == 413


@pytest.mark.django_db
@pytest.mark.urls("tests.core.urls")
def test_a_view_gets_the_body_and_its_errors_are_answers() -> None:
    client = Client()
    client.force_login(make_user(Role.SUBMITTER))

    def post(body: bytes, content_type: str = "application/json") -> tuple[int, str]:
        answered = client.generic("POST", "/api/test/echo", body, content_type=content_type)
        return answered.status_code, answered.content.decode()

    assert post(b'{"b": 1, "a": 2}') == (200, "['a', 'b'] 16")
    assert post(b"{}", "text/plain")[0] == 415
    assert post(b"[]")[0] == 400
    assert json.loads(post(b'{"a": 1, "a": 2}')[1])["errors"][0]["field"] == "a"
    assert post(b" " * (MAX_BODY_BYTES + 1))[0] == 413
