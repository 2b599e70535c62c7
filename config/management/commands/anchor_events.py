"""The command `anchor_events`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.event_anchors import publish_anchor
from events.anchors import compute_anchor


class Command(BaseCommand):
    help = (
        "Print one digest over the newest checkpoints of all accounts, and publish it to the log,"
        " EVENT_ANCHOR_FILE and EVENT_ANCHOR_URL, as workers do each hour. Keep it outside the"
        " database: verify_events --since-anchor compares it. Exit code 1 if it was not published."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        anchor = compute_anchor()
        if anchor is None:
            raise CommandError("There is no checkpoint yet: is a worker running?", returncode=2)
        errors = publish_anchor(anchor)
        self.stdout.write(anchor.text)
        for error in errors:
            self.stderr.write(error)
        if errors:
            raise SystemExit(1)
