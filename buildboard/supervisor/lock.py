"""One supervisor of workers a data dir: a lock that ends with its process, however that ends."""

import fcntl
import os
from pathlib import Path
from typing import IO


class AlreadyRunningError(Exception):
    """Another supervisor has the data dir; the message says which."""


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Lock the data dir for this process; keep what it returns open.

    Raises AlreadyRunningError when another process has it, OSError when the data dir cannot be written.
    """
    file = (data_dir / "board.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "?"
        file.close()
        raise AlreadyRunningError(
            f"the data dir {data_dir} is in use by another board (process {holder}); stop that one, "
            "or set BUILDBOARD_DATA_DIR to another folder"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
