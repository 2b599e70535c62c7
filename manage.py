#!/usr/bin/env python
"""Entry point of the management commands; `manage.py help` lists them."""

import os
import sys

from config.startup import exit_on_bad_configuration


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with exit_on_bad_configuration():
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
