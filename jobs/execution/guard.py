"""Does one thing for one attempt so that what goes wrong there stops no other; three failures set its job aside.

What each kind of error means for the attempt is decided here; what is done, by follow.py.
"""

import contextlib
import logging
from collections.abc import Callable, MutableMapping
from uuid import UUID

from django.db import InterfaceError, OperationalError

from jobs import lifecycle
from jobs.errors import JobError
from jobs.execution.followed import Followed
from jobs.execution.marker import CrashMarker
from jobs.execution.start import CannotStart
from jobs.models import BuildJob
from jobs.outcomes import Outcome
from jobs.providers.base import ProviderError, ProviderGarbled, ProviderUnreachable
from jobs.states import AttemptStatus, ErrorCategory

logger = logging.getLogger(__name__)

MOST_CRASHES = 3


class Guard:
    """That of one follower, which alone calls this. `followed` is the follower's own: who ends leaves it."""

    def __init__(
        self,
        server_id: UUID,
        followed: MutableMapping[UUID, Followed],
        *,
        slow_down: Callable[[], None],
        note_unreachable: Callable[[Exception], None],
    ) -> None:
        self._followed = followed
        self._slow_down = slow_down
        self._note_unreachable = note_unreachable
        self._marker = CrashMarker(server_id)
        self._crashed = self._marker.left_by_last()

    def close(self) -> None:
        """The follower ends as it should."""
        self._marker.close()

    def __call__(self, one: Followed, act: Callable[[Followed], object]) -> bool:
        """Do one thing for one attempt; what goes wrong there never stops the others. Three times: set aside."""
        self._marker.begin(one.attempt.pk)
        try:
            if self._crashed == one.attempt.pk:
                self._crashed = None
                self._count_crash(one, "its process ended")
            act(one)
        except (OperationalError, InterfaceError):  # the database is away: no fault of this attempt
            raise
        except CannotStart as error:
            outcome = Outcome(AttemptStatus.FAILED, None, error.category, str(error))
            lifecycle.finish_attempt(one.attempt, outcome=outcome)
            self._followed.pop(one.attempt.pk, None)
            return False
        except JobError as error:  # another holder was faster: the next round reads how things are
            logger.info("%s", error, extra={"action": "follow", "attempt": str(one.attempt.pk)})
            self._followed.pop(one.attempt.pk, None)
            return False
        except ProviderGarbled as error:  # about this one: whether the server is there, a poll tells
            logger.warning("%s", error, extra={"action": "follow", "attempt": str(one.attempt.pk)})
            self._slow_down()
            return False
        except ProviderUnreachable as error:
            self._note_unreachable(error)
            return False
        except Exception as error:  # the outermost frame of following this attempt
            logger.exception("Following failed", extra={"action": "follow", "attempt": str(one.attempt.pk)})
            self._count_crash(one, f"{type(error).__name__}: {error}")
            return False
        finally:
            self._marker.end()
        return True

    def _count_crash(self, one: Followed, error: str) -> None:
        """Count a failure of the board's own against this job; progress in between takes them back."""
        crashes = one.attempt.job.follow_crashes + 1
        BuildJob.objects.filter(pk=one.attempt.job_id).update(follow_crashes=crashes)
        if crashes >= MOST_CRASHES:
            message = f"The board failed {crashes} times while it followed this build: {error}"
            with contextlib.suppress(ProviderError):  # else it is ended there when what it left is removed
                one.send_cancel()
            outcome = Outcome(AttemptStatus.FAILED, None, ErrorCategory.SYSTEM, one.masker.mask_text(message))
            lifecycle.finish_attempt(one.attempt, outcome=outcome)
            self._followed.pop(one.attempt.pk, None)
