"""How process logs look: one line a record, for operators."""

import logging


class LineFormatter(logging.Formatter):
    """Time in UTC, level, logger, message."""
