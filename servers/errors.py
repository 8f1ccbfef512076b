"""What can be refused when the fleet is changed; every door turns these into its own answer."""

from collections.abc import Sequence

from buildboard.core.errors import FieldProblem


class ServerError(Exception):
    """Base of all; the text is a sentence for a person that says what to do."""


class InvalidServer(ServerError):
    """Fields that do not fit (422). Nothing was changed."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(" ".join(f"{problem['field']}: {problem['message']}" for problem in problems))
        self.problems = list(problems)


class ServerConflict(ServerError):
    """The state does not allow it (409): builds run there, another server needs it, another key was seen."""
