"""How Django is told of the board's SQLite file, so that one that is gone is away: it is not made again, empty."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def name_of(file: Path) -> str:
    """The name of a file that is there: who opens it later makes none."""
    return f"{file.resolve().as_uri()}?mode=rw"


def path_of(name: str) -> Path:
    """The file that a name of a database means, be it there or not."""
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)
