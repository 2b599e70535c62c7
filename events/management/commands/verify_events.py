"""The command `verify_events`."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final

from django.core.management.base import BaseCommand

from events.sealing_delays import record_delays
from events.verification import verify_events

_ANCHOR: Final = re.compile(r"[0-9]{1,18}:[0-9a-f]{64}", re.ASCII)


class Command(BaseCommand):
    help = (
        "Compare every event with the checkpoints that workers write over them, and every checkpoint"
        " with the one before. Prints how many events are covered by one (sealed), and how many are"
        " not yet. Exit code 1 if anything was changed, removed, inserted or moved, or covered much"
        " later than it was recorded; each finding is a line on standard error. Changes nothing,"
        " unless --record-delays is given."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--known",
            metavar="NUMBER:DIGEST",
            help="`last` of an earlier run, kept elsewhere: that checkpoint must still exist",
        )
        parser.add_argument(
            "--since-anchor",
            metavar="NUMBER:DIGEST",
            type=_parse_anchor,
            help="an anchor that was kept elsewhere: compare it with the chains as they were then,"
            " and verify only what came after it",
        )
        parser.add_argument(
            "--record-delays",
            metavar="REASON",
            help="record why events waited long for their checkpoint, for all that do now",
        )

    def handle(
        self, *args: Any, known: str | None, since_anchor: str | None, **options: Any
    ) -> None:
        report = verify_events(known=known, since_anchor=since_anchor)
        if options["record_delays"] and report.delayed:
            count = record_delays(report.delayed, reason=options["record_delays"])
            self.stdout.write(f"Recorded the reason for {count} checkpoints.")
            report = verify_events(known=known, since_anchor=since_anchor)
        for error in report.errors:
            self.stderr.write(error)
        # Operators may parse this line, so the names stay as they are.
        self.stdout.write(
            f"seals={report.checkpoints} sealed={report.covered_events}"
            f" unsealed={report.uncovered_events} faults={len(report.errors)}"
            f" last={report.latest_checkpoint or '-'} chains={report.chains}"
            f" delays={report.known_delays}"
        )
        if report.errors:
            raise SystemExit(1)


def _parse_anchor(text: str) -> str:
    if not _ANCHOR.fullmatch(text):
        raise argparse.ArgumentTypeError("an anchor is NUMBER:DIGEST, with 64 hexadecimal digits")
    return text
