"""`manage.py refresh_tokens`: refresh grants now."""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q, QuerySet

from accounts.services import get_account
from common.actors import get_command_actor
from common.db.clock import DbNow
from common.errors import ServiceError
from common.management import raise_command_errors
from credentials.core.grant_state import NEEDS_REAUTH
from credentials.models import Credential
from credentials.refresh import get_fresh_token
from providers.registry import get_registry

# Refreshes wait for providers most of the time.
THREADS: Final = 8
BATCH: Final = 500

Rows = QuerySet[Credential, tuple[uuid.UUID, uuid.UUID]]
"""(account id, id) of each credential."""


class Command(BaseCommand):
    help = (
        "Refresh grants now: those of an account, or all that are due. The worker refreshes due grants"
        " anyway; this is for operators who cannot wait. Exit code 0: all were refreshed; 1: some"
        " failed, each named on standard error; 2: nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--account", help="the account's slug; tokens that have not expired are refreshed, too"
        )
        parser.add_argument("--provider", help="only grants of this provider")
        parser.add_argument(
            "--all-due",
            action="store_true",
            help="only grants that are due (by default of all accounts)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["account"] and not options["all_due"]:
            raise CommandError("Give an --account, or --all-due.", returncode=2)
        kinds = {name for name, kind in get_registry().kinds.items() if kind.refreshes}
        rows = Credential.objects.filter(
            ~Q(grant__state=NEEDS_REAUTH), ~Q(grant__on_hold=True), kind__in=sorted(kinds)
        )
        if options["account"]:
            with raise_command_errors():
                rows = rows.filter(account_id=get_account(options["account"]).id)
        if options["provider"]:
            rows = rows.filter(provider=options["provider"])
        if options["all_due"]:
            rows = rows.filter(grant__next_at__lte=DbNow())
        targets: Rows = rows.order_by("id").values_list("account_id", "id")
        counts: Counter[str] = Counter()
        after: uuid.UUID | None = None
        with ThreadPoolExecutor(THREADS) as pool:
            # By id: a refresh of this run, or of another process, moves no row to another batch.
            while batch := list(islice(targets.filter(id__gt=after) if after else targets, BATCH)):
                counts.update(pool.map(self._refresh, batch))
                after = batch[-1][1]
        self.stdout.write(f"refreshed={counts['refreshed']} failed={counts['failed']}")
        if counts["failed"]:
            sys.exit(1)

    def _refresh(self, row: tuple[uuid.UUID, uuid.UUID]) -> str:
        account_id, id = row
        try:
            # Without `force`, a token that is due but valid for some minutes would stay.
            get_fresh_token(
                account_id=account_id, id=id, actor=get_command_actor("refresh_tokens"), force=True
            )
        except ServiceError as error:
            self.stderr.write(f"{id}: {error.detail}")
        except (DatabaseError, InterfaceError):
            self.stderr.write(f"{id}: The connection to the database was lost.")
        else:
            return "refreshed"
        finally:
            # Django closes connections at the end of a request; a thread of a pool has none.
            connection.close()
        return "failed"
