"""Owns what a secret looks like in a log, and replaces every such form by `***`.

`Masker.decide` is a pure function of the bytes given to it: it holds nothing between calls, so a follower
that dies, or two at once, come to the same kept bytes. It is not in charge of offsets (the follower moves
`source_read` by `Decided.consumed`), of reading secrets, or of storing anything.

The rule: at the leftmost place where a form begins, the longest form that begins there is replaced, and the
search goes on behind it. A place is decided only when no longer form could still begin there, so any way of
cutting the stream gives the same kept bytes.

What is not found: a secret changed in another way (compressed, encrypted, reversed, hexadecimal), base64
wrapped at an unusual width, and the rest of a form that overlaps one already replaced (never a whole form).
The search is a library's automaton, since a regular expression of 200 forms takes 80 times as long.
"""

import base64
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

MASK = b"***"
MIN_SECRET_CHARACTERS = 4
MAX_SECRET_BYTES = 64 * 1024
MIN_LINE_CHARACTERS = 6
# `base64` of coreutils wraps at 76, `openssl base64` and PEM files at 64.
_WRAP_COLUMNS = (64, 76)
_HEAD = MIN_SECRET_CHARACTERS


@dataclass(frozen=True, slots=True)
class Decided:
    """The bytes to keep, and how many bytes of the source they stand for."""

    kept: bytes
    consumed: int


def validate_secret_value(value: str) -> None:
    """Raise ValueError, with a sentence for a person, if `value` cannot be a secret.

    A value under four characters (spaces at its ends not counted) is refused: masking it would blot out
    ordinary words. NUL and lone surrogates cannot be in an environment variable, and 64 KiB is its limit.
    """
    if len(value.strip()) < MIN_SECRET_CHARACTERS:
        raise ValueError(
            f"A secret needs at least {MIN_SECRET_CHARACTERS} characters that are not spaces around it: "
            "a shorter one cannot be masked in logs."
        )
    if "\0" in value:
        raise ValueError("A secret cannot hold a NUL character.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("A secret must be valid Unicode text.") from None
    if size > MAX_SECRET_BYTES:
        raise ValueError(f"A secret can be {MAX_SECRET_BYTES // 1024} KiB at most.")


class Masker:
    """Replaces a fixed set of byte strings. Immutable, cheap to call, safe to share between threads."""

    def __init__(self, forms: frozenset[bytes]) -> None:
        """Prepare the search for `forms`, each at least four bytes long."""
        if any(len(form) < _HEAD for form in forms):
            raise ValueError(f"A form has at least {_HEAD} bytes.")
        self._longest = max(map(len, forms), default=0)
        self._finder = (
            BytesAhoCorasick(sorted(forms), MatchKind.LeftmostLongest, Implementation.ContiguousNFA)
            if forms
            else None
        )
        by_head: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for form in forms:
            by_head[form[:_HEAD]].append(form)
        self._by_head = dict(by_head)
        self._short_heads = frozenset(head[:size] for head in by_head for size in range(1, _HEAD))
        self._head_finder = BytesAhoCorasick(sorted(by_head), implementation=Implementation.ContiguousNFA)

    @property
    def longest(self) -> int:
        """The length of the longest form in bytes; at most one byte less is ever held back."""
        return self._longest

    def decide(self, data: bytes, *, final: bool) -> Decided:
        """Decide as much of `data`, the source from `source_read` on, as can be decided.

        Unless `final`, trailing bytes that may be the start of a form are neither kept nor consumed: give
        them again with what follows. With `final` everything is consumed.
        """
        if self._finder is None or not data:
            return Decided(data, len(data))
        matches = [(start, end) for _, start, end in self._finder.find_matches_as_indexes(data)]
        consumed = len(data) if final else self._undecided_from(data, matches)
        kept: list[bytes] = []
        done = 0
        for start, end in matches:
            if start >= consumed:
                break
            kept += (data[done:start], MASK)
            done = end
        kept.append(data[done:consumed])
        return Decided(b"".join(kept), consumed)

    def mask_text(self, text: str) -> str:
        """Mask a whole text, such as an error message or the reason of an event."""
        masked = self.decide(text.encode(errors="surrogatepass"), final=True).kept
        return masked.decode(errors="surrogatepass")

    def _undecided_from(self, data: bytes, matches: list[tuple[int, int]]) -> int:
        """Where the undecided rest begins: the first place from which a form could reach past the end.

        A place inside a match does not count, since the search goes on behind the match. A match that begins
        before that place stands: a longer form in its stead would have made its own start such a place.
        """
        window = max(0, len(data) - self._longest + 1)
        heads = self._head_finder.find_matches_as_indexes(data[window:], overlapping=True)
        places = [window + start for _, start, _ in heads]
        places += range(max(window, len(data) - _HEAD + 1), len(data))
        upcoming = iter(matches)
        start, end = next(upcoming, (len(data), len(data)))
        for place in places:
            while end <= place:
                start, end = next(upcoming, (len(data), len(data)))
            if place <= start and self._may_grow(data[place:]):
                return place
        return len(data)

    def _may_grow(self, tail: bytes) -> bool:
        """Whether `tail` is the start of a form and not the whole of it."""
        if len(tail) < _HEAD:
            return tail in self._short_heads
        candidates = self._by_head.get(tail[:_HEAD], ())
        return any(len(form) > len(tail) and form.startswith(tail) for form in candidates)


def build_masker(secrets: Mapping[str, str]) -> Masker:
    """A masker for the values of `secrets` (name to value) in every form that `secret_forms` knows.

    Values that `validate_secret_value` would refuse as too short are left out, not masked.
    """
    return Masker(frozenset(form for value in secrets.values() for form in secret_forms(value)))


def secret_forms(value: str) -> frozenset[bytes]:
    """Every byte string, of four bytes or more, that gives `value` away in a log."""
    bare = value.strip()
    if len(bare) < MIN_SECRET_CHARACTERS:
        return frozenset()
    lines = {line for raw in value.split("\n") for line in (raw.removesuffix("\r"), raw.strip())}
    unix = value.replace("\r\n", "\n")
    endings = {value, unix, unix.replace("\n", "\r\n")}
    texts = {cut for text in endings for cut in (text, text.strip(), text.strip("\r\n"))}
    encoded = {text.encode() for text in texts}
    parts = texts | {line for line in lines if len(line.strip()) >= MIN_LINE_CHARACTERS}
    forms = {quoted.encode() for part in parts for quoted in _quotings(part)}
    forms |= {form for raw in encoded for form in _base64_forms(raw)}
    return frozenset(form for form in forms if len(form) >= _HEAD and form.strip())


def _quotings(text: str) -> Iterator[str]:
    """`text` as it is, in a URL, in JSON, in Python, in HTML and as a shell prints or wants it."""
    yield text
    for url in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield url
        yield re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), url)
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield as_json
        yield as_json.replace("/", "\\/")
    yield repr(text)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield text.replace("'", "'\\''")  # bash -x, shlex of most tools
    yield text.replace("'", "'\"'\"'")  # dash -x, Python's shlex.quote
    yield re.sub(r'([\\"$`])', r"\\\1", text)  # inside double quotes
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)  # printf %q
    yield text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")  # $'...'


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """The characters that `raw` alone decides, at each of the three places it can have in a longer text."""
    for codec in (base64.b64encode, base64.urlsafe_b64encode):
        whole = codec(raw)
        yield whole
        for shift in range(3):
            # Of the 6-bit groups, the first that lies wholly in `raw` and the last that does.
            first, last = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
            yield codec(bytes(shift) + raw)[first:last]
        # Without the characters that a byte behind `raw`, such as the newline of `echo`, would change.
        for text in (whole, whole[: 8 * len(raw) // 6]):
            for columns in _WRAP_COLUMNS:
                rows = [text[at : at + columns] for at in range(0, len(text), columns)]
                if len(rows) > 1:
                    yield b"\n".join(rows)
                    yield b"\r\n".join(rows)
                    yield from (row for row in rows if len(row) >= MIN_LINE_CHARACTERS)
