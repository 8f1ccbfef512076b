"""How process logs look: one line a record, for operators and their tools.

What is logged is the callers' matter; no secret may be.
"""

import logging
import re
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Too large or too private for a line: request objects of Django, the server's own dictionaries.
_NEVER = frozenset({"request", "server_time"})
# C0, DEL, C1, line and paragraph separators, bidirectional controls.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_control(text: str) -> str:
    """The text with every character that could forge a line or steer a terminal written as an escape."""
    return _CONTROL.sub(lambda match: _SHORT.get(match[0]) or _written_out(match[0]), text)


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class LineFormatter(logging.Formatter):
    """Time in UTC, level, logger, message, each `extra` as key=value; a traceback stays on the same line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        parts = [
            at.replace("+00:00", "Z"),
            record.levelname,
            record.name,
            escape_control(record.getMessage()),
        ]
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD | _NEVER}
        parts += [f"{key}={_value(value)}" for key, value in sorted(extra.items())]
        if record.exc_info:
            parts.append("traceback=" + escape_control(self.formatException(record.exc_info)))
        return " ".join(parts)


def _value(value: object) -> str:
    text = escape_control(str(value))
    if text and not re.search(r'[\s"=]', text):
        return text
    return '"' + text.replace('"', '\\"') + '"'
