"""The words that stand for states in JSON (contract section 1); states.py owns the states themselves."""

from typing import Literal

StatusWord = Literal["queued", "claimed", "running", "completed", "failed", "cancelled"]
PriorityWord = Literal["low", "normal", "high", "urgent"]
