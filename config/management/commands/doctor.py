from __future__ import annotations

import sys
from typing import Any, Final

import orjson
from django.core.management.base import BaseCommand, CommandParser

from config.doctor import ERROR, OK, WARNING, run_checks

_STYLES: Final = {OK: "SUCCESS", WARNING: "WARNING", ERROR: "ERROR"}


class Command(BaseCommand):
    help = (
        "Check settings, database, keys, clock, worker, spool folder, network and mail. Each line says"
        " ok or what to do. Exit code 1 if there is an error; warnings do not count."
    )
    # The settings' own checks are among those that are reported.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--egress-url",
            default="https://api.github.com/",
            help="requested without a credential to see whether providers can be reached"
            " (default: %(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object for each line")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = False
        for finding in run_checks(egress_url=options["egress_url"]):
            failed |= finding.level == ERROR
            if options["json"]:
                self.stdout.write(orjson.dumps(finding._asdict()).decode())
                continue
            style = getattr(self.style, _STYLES[finding.level])
            self.stdout.write(f"{style(f'{finding.level:<8}')} {finding.subject:<9} {finding.text}")
        if failed:
            sys.exit(1)
