"""What the end of a run means: the reason on the server decides."""

import pytest

from jobs.execution.outcome import judge_lost, judge_outcome
from jobs.execution.script import CHECKOUT_STATUS
from jobs.outcomes import Outcome
from jobs.providers.base import BuildStatus, Report
from jobs.states import AttemptStatus, ErrorCategory, Phase

BEFORE_THE_BUILD = [Phase.CONNECTING, Phase.CHECKOUT, ""]
LOST = [
    ("damaged", "The records of the build on its server are damaged: what it came to is not known."),
    ("rebooted", "The build server was restarted while the build ran."),
    ("lost", "The build's processes ended without leaving a result."),
]


def judge(
    reason: str, code: int | None, *, phase: str = Phase.BUILDING, server: str = "", failure: str = ""
) -> Outcome:
    report = Report("fleet://1", BuildStatus.FAILED, phase=phase, reason=reason, exit_code=code)
    return judge_outcome(report, timeout_seconds=60, idle_timeout_seconds=7, server=server, failure=failure)


def failed(code: int | None, category: ErrorCategory, message: str) -> Outcome:
    return Outcome(AttemptStatus.FAILED, code, category, message)


@pytest.mark.parametrize("phase", Phase)
def test_exit_code_0_is_a_completed_build(phase: str) -> None:
    assert judge("exited", 0, phase=phase) == Outcome(AttemptStatus.COMPLETED, 0)


@pytest.mark.parametrize("code", [0, 143, None])
def test_a_cancelled_run_is_cancelled_whatever_its_exit_code(code: int | None) -> None:
    assert judge("cancelled", code) == Outcome(
        AttemptStatus.CANCELLED, code, ErrorCategory.CANCELLED, "Build cancelled"
    )


@pytest.mark.parametrize(
    ("reason", "category", "message"),
    [
        (
            "timeout",
            ErrorCategory.TIMEOUT,
            "The build was ended{where}: it ran longer than its limit of 60 s.",
        ),
        ("idle", ErrorCategory.TIMEOUT, "The build was ended{where}: it printed nothing for 7 s."),
        (
            "diskfull",
            ErrorCategory.SYSTEM,
            "The build was ended{where}: less than 256 MiB of its disk was free. Make room there.",
        ),
    ],
)
@pytest.mark.parametrize(("server", "where"), [("", ""), ("arm-1", " on arm-1")])
def test_a_run_that_was_ended_says_why_and_where(
    reason: str, category: ErrorCategory, message: str, server: str, where: str
) -> None:
    assert judge(reason, 143, server=server) == failed(143, category, message.format(where=where))


@pytest.mark.parametrize(("reason", "message"), LOST)
@pytest.mark.parametrize("code", [None, 0])
def test_a_run_that_vanished_is_lost_once_its_own_command_began(
    reason: str, message: str, code: int | None
) -> None:
    assert judge(reason, code) == Outcome(AttemptStatus.LOST, code, ErrorCategory.LOST, message)


@pytest.mark.parametrize(("reason", "message"), LOST)
@pytest.mark.parametrize("phase", BEFORE_THE_BUILD)
def test_before_that_it_is_infrastructure_that_failed(reason: str, message: str, phase: str) -> None:
    assert judge(reason, None, phase=phase) == failed(None, ErrorCategory.SYSTEM, message)


@pytest.mark.parametrize(
    ("code", "category"), [(CHECKOUT_STATUS, ErrorCategory.CHECKOUT), (1, ErrorCategory.SYSTEM)]
)
@pytest.mark.parametrize("phase", BEFORE_THE_BUILD)
def test_a_checkout_fails_by_the_scripts_own_word_or_as_infrastructure(
    code: int, category: ErrorCategory, phase: str
) -> None:
    told = judge("exited", code, phase=phase, server="arm-1", failure="No such branch.")
    untold = judge("exited", code, phase=phase, server="arm-1")

    assert told == failed(code, category, "No such branch.")
    assert untold == failed(code, category, f"The checkout failed on arm-1 with exit code {code}.")


@pytest.mark.parametrize(
    ("code", "ended_by"),
    [
        (1, ""),
        (CHECKOUT_STATUS, ""),
        (128, ""),
        (130, " (ended by SIGINT)"),
        (137, " (ended by SIGKILL)"),
        (139, " (ended by SIGSEGV)"),
        (160, ""),
        (255, ""),
    ],
)
def test_a_build_command_fails_with_its_exit_code_and_signal(code: int, ended_by: str) -> None:
    message = f"The build command failed with exit code {code}{ended_by}."

    assert judge("exited", code, failure="Not of the build.") == failed(
        code, ErrorCategory.EXIT_CODE, message
    )


def test_an_attempt_that_vanished_is_judged_by_its_phase_alone() -> None:
    assert judge_lost(phase=Phase.BUILDING, message="Gone.") == Outcome(
        AttemptStatus.LOST, None, ErrorCategory.LOST, "Gone."
    )
    assert judge_lost(phase=Phase.CONNECTING, message="Gone.", exit_code=9) == failed(
        9, ErrorCategory.SYSTEM, "Gone."
    )
