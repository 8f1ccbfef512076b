"""The product's own settings, with a data dir that is made for this run and gone at its end.

pytest-django reads the settings before any conftest, so this is the place where the data dir can still be
chosen: tests never touch a developer's own.
"""

import atexit
import os
import shutil
import tempfile

DATA_DIR_OF_RUN = os.environ["BUILDBOARD_DATA_DIR"] = tempfile.mkdtemp(prefix="bb-test-")
_OWNER = os.getpid()


def _remove() -> None:
    """A process that was forked meanwhile leaves its parent's folder alone."""
    if os.getpid() == _OWNER:
        shutil.rmtree(DATA_DIR_OF_RUN, ignore_errors=True)


atexit.register(_remove)
# Boards and commands that tests start are to read the product's settings, not these.
os.environ["DJANGO_SETTINGS_MODULE"] = "buildboard.settings"

from buildboard.settings import *  # noqa: E402, F403  # after the data dir is chosen
