"""What every test may use: a data dir of its own, which is gone at the end."""

import atexit
import os
import shutil
import tempfile

# Before Django reads the settings: tests never touch the developer's own data dir.
DATA_DIR = os.environ["BUILDBOARD_DATA_DIR"] = tempfile.mkdtemp(prefix="bb-test-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
