"""Where a build would run and when, before it is submitted: what is typed so far, judged as if it were sent now.

The judgement is `jobs/queue/explain.py`'s, the rules are `submission.py`'s. Nothing is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buildboard.core.auth import Principal
from jobs.errors import FieldError, InvalidSubmission
from jobs.forms import SubmitForm
from jobs.models import BuildJob
from jobs.queue.conditions import Kind
from jobs.queue.durations import Learnt, Work
from jobs.queue.estimate import GUESS
from jobs.queue.explain import Explanation, explain_submission
from jobs.queue.past_builds import read_durations
from jobs.queue.spans import in_about, in_words
from jobs.queue.verdicts import ServerVerdict, Verdict
from jobs.submission import fields_of, read_submission
from servers.architectures import canonical_architecture

_MOST_SERVERS = 6
_MOST_RECENT = 5
_LOOKED_AT = 200
_MOST_SUGGESTED = 20
# What decides about the server and the turn; the rest may be missing or wrong as yet.
_DECIDES = (
    *("target_architecture", "server_id", "required_toolchain", "required_labels", "group"),
    *("min_cpu_cores", "min_memory_mb", "min_storage_gb", "priority", "build_command", "build_config"),
    *("server_fallback", "max_attempts"),
)
_ANY_REPOSITORY = "https://repository.example/any"
_LOOKS = {
    None: ("check", "ok"),
    Kind.BUSY: ("clock", "muted"),
    Kind.OFFLINE: ("unplug", "run"),
    Kind.IMPOSSIBLE: ("x", "bad"),
}


@dataclass(frozen=True)
class Candidate:
    """One server of the panel: its icon, its name and what it says."""

    name: str
    icon: str
    colour: str
    word: str
    told: str


@dataclass(frozen=True)
class Where:
    """The panel. Either `unclear` says what has to be filled in first, or the rest says where and when."""

    unclear: str = ""
    headline: str = ""
    after: str = ""
    is_blocked: bool = False
    starts_if: str = ""
    candidates: Sequence[Candidate] = ()
    left_out: int = 0
    usual: Learnt | None = None


def where_it_would_run(form: SubmitForm) -> Where:
    """Judge what the form says; some ten queries, none while the fields that decide do not fit."""
    body = form.api_body()
    if not body.get("target_architecture"):
        return Where(unclear="Choose an architecture, and this panel says where the build would run.")
    decides = {name: body[name] for name in _DECIDES if name in body}
    try:
        fields = fields_of(read_submission({**decides, "source_repository": _ANY_REPOSITORY}))
    except InvalidSubmission as refused:
        return Where(unclear=_first_error(form, refused.errors))
    # No server is refused for its repository, which may be half typed: it only tells who has built it before.
    why = explain_submission({**fields, "source_repository": body["source_repository"]})
    return Where(
        **_start(why),
        candidates=[_candidate(one) for one in why.servers[:_MOST_SERVERS]],
        left_out=max(0, len(why.servers) - _MOST_SERVERS),
        usual=_usual(body),
    )


def _usual(body: Mapping[str, Any]) -> Learnt | None:
    """How long builds like it took. One query."""
    architecture = canonical_architecture(body["target_architecture"])
    work = Work(body["source_repository"], body.get("branch") or "main", architecture)
    return read_durations([work], only_own=True).own(work)


def _start(why: Explanation) -> dict[str, Any]:
    """The first words of the panel, and what would help when time alone does not."""
    if why.estimated_start_at is None or why.wait is None:
        return {"headline": why.summary, "is_blocked": True, "starts_if": why.would_start_if or ""}
    able = [one.server.name for one in why.servers if one.verdict is Verdict.ELIGIBLE]
    seconds = (why.estimated_start_at - why.checked_at).total_seconds()
    ahead = why.place.rivals_ahead if why.place else 0
    behind = f", behind {ahead} other{'' if ahead == 1 else 's'} for its architecture" if ahead else ""
    if able and seconds < 1:
        return {"headline": "At once", "after": f"on {able[0]}{behind}"}
    where = f"likely on {able[0]}" if able else "on the first server that comes free"
    basis = "" if why.wait.basis == "history" else f" ({GUESS})"
    told = why.told.start if why.told else None
    words = in_words(told.seconds_from(why.checked_at)) if told else in_about(seconds)
    return {"headline": f"{words[:1].upper()}{words[1:]}", "after": f"{where}{behind}{basis}"}


def _candidate(one: ServerVerdict) -> Candidate:
    icon, colour = _LOOKS[one.kind]
    told = " ".join(one.reasons) or "Has room for it now."
    return Candidate(one.server.name, icon, colour, one.kind.value if one.kind else "free", told)


def _first_error(form: SubmitForm, errors: Sequence[FieldError]) -> str:
    """Which field hinders the answer, by the label that the form gives it."""
    name = errors[0].field.partition(".")[0]
    label = form.fields[name].label if name in form.fields else name
    return f"{label}: {errors[0].message}"


def recent_jobs(form: SubmitForm, *, principal: Principal) -> list[BuildJob]:
    """The latest jobs of the repository that is typed, as far as the one who asks may see them. One query."""
    repository = form.api_body().get("source_repository")
    if not repository:
        return []
    seen = BuildJob.objects.visible_to(principal).filter(source_repository=repository)
    return list(seen.only("branch", "commit_hash", "resolved_commit", "status", "created_at")[:_MOST_RECENT])


def suggestions(principal: Principal) -> Mapping[str, list[str]]:
    """Repositories and branches of the latest jobs, newest first, each once. One query."""
    rows = BuildJob.objects.visible_to(principal).values_list("source_repository", "branch")[:_LOOKED_AT]
    found = list(rows)
    return {
        "repositories": list(dict.fromkeys(repository for repository, _ in found))[:_MOST_SUGGESTED],
        "branches": list(dict.fromkeys(branch for _, branch in found))[:_MOST_SUGGESTED],
    }


def usual_values(principal: Principal) -> dict[str, str]:
    """What somebody most likely wants again: the architecture of their own last job. One query."""
    last = BuildJob.objects.visible_to(principal).filter(created_by=principal.user)
    name = last.values_list("target_architecture", flat=True).first() if principal.user else None
    return {"target_architecture": name} if name else {}
