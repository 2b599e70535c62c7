"""Run a management command without Django's system checks: `python -m tools.fault_injection.launch`.

The checks reject provider files whose addresses are not https, as those of the fault-injecting
provider are. Nothing else differs from `manage.py`.
"""

from __future__ import annotations

import os
import sys

from config.startup import exit_on_bad_configuration


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with exit_on_bad_configuration():
        import django
        from django.core.management import call_command

        django.setup()
        call_command(*sys.argv[1:])


if __name__ == "__main__":
    main()
