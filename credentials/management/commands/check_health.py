"""`manage.py check_health`: probe credentials now."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.services import get_account
from common import health
from common.actors import get_command_actor
from common.errors import NotFoundError
from common.management import Progress, raise_command_errors
from credentials.core.displayed_health import filter_by_health_status, get_displayed_health
from credentials.health import probe_schedule
from credentials.health.models import ProbeState
from credentials.health.registration import register_all
from credentials.models import Credential
from credentials.probing.check import check_credential


class Command(BaseCommand):
    help = (
        "Check credentials at their providers now, one after the other, and print the number in each"
        " state. Exit code 1 if any is in the state error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", help="the slug of one account (default: all)")
        parser.add_argument("--provider", help="a provider's slug (default: all)")
        parser.add_argument(
            "--status", choices=health.STATUSES, help="only credentials in this state"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Credential.objects.all()
        if slug := options["account"]:
            with raise_command_errors():
                rows = rows.filter(account_id=get_account(slug).id)
        if options["provider"]:
            rows = rows.filter(provider=options["provider"])
        if options["status"]:
            rows = filter_by_health_status(rows, options["status"])
        register_all(rows)
        counts = self._check_all(list(rows.order_by("id").values_list("account_id", "id")))
        self.stdout.write(" ".join(f"{status}={counts[status]}" for status in health.STATUSES))
        if counts["error"]:
            raise SystemExit(1)

    def _check_all(self, ids: list[tuple[uuid.UUID, uuid.UUID]]) -> Counter[str]:
        progress = Progress(self.stderr)
        counts: Counter[str] = Counter()
        for done, (account_id, id) in enumerate(ids, start=1):
            try:
                wait = check_credential(
                    account_id=account_id, id=id, actor=get_command_actor("check_health")
                )
            except NotFoundError:
                # Deleted while the others were checked.
                continue
            # A row with a lease is being probed by a worker, which reschedules it.
            probe_schedule.reschedule_probe(
                ProbeState.objects.filter(lease_owner=""), id=id, wait=wait
            )
            row = (
                Credential.objects.select_related("oauth_app__refresh_pause").filter(id=id).first()
            )
            counts[get_displayed_health(row)["status"] if row else "deleted"] += 1
            progress.show(done, ", ".join(f"{counts[s]} {s}" for s in health.STATUSES))
        progress.finish()
        return counts
