#!/usr/bin/env python
"""Django's command line for Buildboard; `manage.py up` runs the whole board."""

import os
import sys


def main() -> None:
    """Run one management command; a wrong setting ends in one sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415  # after the settings module is named
    from django.core.management import execute_from_command_line  # noqa: PLC0415  # same

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"buildboard: {error}")


if __name__ == "__main__":
    main()
