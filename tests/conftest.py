"""What every test may use: a data dir of its own, and plain factories."""

import os
import tempfile

# Before Django reads the settings: tests never touch the developer's own data dir.
os.environ.setdefault("BUILDBOARD_DATA_DIR", tempfile.mkdtemp(prefix="bb-test-"))
