"""Writes out the characters of text from outside that cannot be seen, or that change how others are seen.

Pages and the admin site show names, reasons and messages through it. It is not in charge of markup (templates
escape it) or of logs, whose colours stay (jobs/logs).
"""

import re

# Controls but for TAB and LF, and what turns the direction of text; ESC begins sequences that terminals act upon.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FIRST_WIDE = 256


def write_out(text: str) -> str:
    r"""The same text with such characters as `\x1b` or `\u202e`."""
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < _FIRST_WIDE else f"\\u{code:04x}"
