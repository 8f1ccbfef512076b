"""What every test may use: a data dir of its own, which is gone at the end."""

import atexit
import os
import shutil
import tempfile

import django
from django.conf import settings

# Here and not in pyproject.toml: pytest-django would read the settings before this file, and every run of the
# tests would share the developer's own data dir.
if settings.configured:
    raise RuntimeError("Unset DJANGO_SETTINGS_MODULE: the settings were read before the tests had a data dir.")
os.environ["DJANGO_SETTINGS_MODULE"] = "buildboard.settings"
DATA_DIR = os.environ["BUILDBOARD_DATA_DIR"] = tempfile.mkdtemp(prefix="bb-test-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
django.setup()
