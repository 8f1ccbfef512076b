"""How much of each fault is made: little beside all other tests, the whole by `make faults`.

BUILDBOARD_FAULTS=whole chooses; BUILDBOARD_FAULTS_SEED another order of random moments, which each test prints.
"""

import os
import random
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Numbers:
    """kills: of the runner; restarts: of the whole board. `rounds` of 1,000 lines, `pause` s apart, make one build.

    queued: how many jobs eight dispatchers share out.
    """

    kills: int
    restarts: int
    listener_restarts: int
    session_kills: int
    stops: int
    drops: int
    away_seconds: float
    rounds: int
    pause: float
    queued: int


_SMALL = Numbers(
    kills=4,
    restarts=1,
    listener_restarts=2,
    session_kills=3,
    stops=1,
    drops=1,
    away_seconds=17,
    rounds=20,
    pause=1,
    queued=400,
)
_WHOLE = Numbers(
    kills=30,
    restarts=5,
    listener_restarts=6,
    session_kills=8,
    stops=2,
    drops=2,
    away_seconds=45,
    rounds=100,
    pause=2,
    queued=2000,
)
IS_WHOLE = os.environ.get("BUILDBOARD_FAULTS", "") == "whole"
NUMBERS = _WHOLE if IS_WHOLE else _SMALL
# Faults of which the database knows little; they take as long as the others.
on_both_when_whole = pytest.mark.both_databases if IS_WHOLE else pytest.mark.slow


def chance(name: str) -> random.Random:
    """Random moments of one test, the same in every run unless BUILDBOARD_FAULTS_SEED is set."""
    return random.Random(f"{os.environ.get('BUILDBOARD_FAULTS_SEED', '0')} {name}")
