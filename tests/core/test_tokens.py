"""The text of tokens: what is one, and what is not."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from buildboard.core.tokens import hash_secret, new_token, parse_token, secret_matches


def test_a_new_token_reads_back_as_its_id_and_secret() -> None:
    token_id = uuid4()

    text, stored = new_token("bb", token_id)

    parsed = parse_token(text, prefix="bb")
    assert parsed is not None
    assert parsed[0] == token_id
    assert secret_matches(parsed[1], stored)
    assert not secret_matches(parsed[1] + "x", stored)
    assert not secret_matches(parsed[1], None)
    assert parse_token(text, prefix="bbo") is None


def test_two_tokens_have_nothing_in_common() -> None:
    made = {new_token("bb", uuid4())[0].split("_", 2)[2] for _ in range(100)}

    assert len(made) == 100


@given(st.text() | st.from_regex(r"bb_[0-9a-fA-F]{30,34}_[A-Za-z0-9_-]{40,46}\n?", fullmatch=True))
def test_any_text_is_a_whole_token_or_none(text: str) -> None:
    parsed = parse_token(text, prefix="bb")

    assert parsed is None or text == f"bb_{parsed[0].hex}_{parsed[1]}"


def test_the_hash_is_sha256_in_hex() -> None:
    assert hash_secret("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
