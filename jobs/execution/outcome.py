"""What the end of a durable run means for its attempt: a pure function of the provider's report."""

import signal

from jobs.execution.script import CHECKOUT_STATUS
from jobs.outcomes import Outcome
from jobs.providers.base import Report
from jobs.queue.conditions import DISK_FLOOR_MIB
from jobs.states import AttemptStatus, ErrorCategory, Phase

_LOST_REASONS = {
    "damaged": "The records of the build on its server are damaged: what it came to is not known.",
    "rebooted": "The build server was restarted while the build ran.",
    "lost": "The build's processes ended without leaving a result.",
}


def judge_outcome(
    report: Report, *, timeout_seconds: int, idle_timeout_seconds: int, failure: str = "", server: str = ""
) -> Outcome:
    """The outcome that a final report stands for; the reason on the server decides, not what was wished for.

    `failure` is the build script's own sentence on why the checkout failed.
    """
    where = f" on {server}" if server else ""
    if report.reason == "cancelled":
        return Outcome(AttemptStatus.CANCELLED, report.exit_code, ErrorCategory.CANCELLED, "Build cancelled")
    if report.reason == "timeout":
        message = f"The build was ended{where}: it ran longer than its limit of {timeout_seconds} s."
        return _failed(report, ErrorCategory.TIMEOUT, message)
    if report.reason == "idle":
        message = f"The build was ended{where}: it printed nothing for {idle_timeout_seconds} s."
        return _failed(report, ErrorCategory.TIMEOUT, message)
    if report.reason == "diskfull":
        message = f"The build was ended{where}: less than {DISK_FLOOR_MIB} MiB of its disk was free. Make room there."
        return _failed(report, ErrorCategory.SYSTEM, message)
    if report.reason in _LOST_REASONS:
        return judge_lost(
            phase=report.phase, message=_LOST_REASONS[report.reason], exit_code=report.exit_code
        )
    if report.exit_code == 0:
        return Outcome(AttemptStatus.COMPLETED, 0)
    if report.phase != Phase.BUILDING:
        # Anything but the script's own word that it cannot be built is infrastructure that failed before.
        category = ErrorCategory.CHECKOUT if report.exit_code == CHECKOUT_STATUS else ErrorCategory.SYSTEM
        return _failed(
            report, category, failure or f"The checkout failed{where} with exit code {report.exit_code}."
        )
    return _failed(report, ErrorCategory.EXIT_CODE, _exit_message(report.exit_code))


def judge_lost(*, phase: str, message: str, exit_code: int | None = None) -> Outcome:
    """An attempt that vanished: infrastructure (`system`) before its own command began, `lost` after."""
    if phase == Phase.BUILDING:
        return Outcome(AttemptStatus.LOST, exit_code, ErrorCategory.LOST, message)
    return Outcome(AttemptStatus.FAILED, exit_code, ErrorCategory.SYSTEM, message)


def _failed(report: Report, category: ErrorCategory, message: str) -> Outcome:
    return Outcome(AttemptStatus.FAILED, report.exit_code, category, message)


def _exit_message(code: int | None) -> str:
    if code is not None and 128 < code < 160:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            return f"The build command failed with exit code {code}."
        return f"The build command failed with exit code {code} (ended by {name})."
    return f"The build command failed with exit code {code}."
