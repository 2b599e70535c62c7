#!/usr/bin/env python
"""Latchkey's commands; `manage.py help` lists them."""

import os
import sys

from config.startup import refusals_in_one_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with refusals_in_one_line():
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
