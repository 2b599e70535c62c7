from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q

from accounts.services import get_account
from common.actors import get_command_actor
from common.db.clock import DbNow
from common.errors import ServiceError
from common.management import raise_command_errors
from credentials.core.grant_state import NOT_ENDED
from credentials.models import Credential
from credentials.refresh import get_fresh_token
from providers.registry import get_registry

THREADS: Final = 8
BATCH: Final = 500


class Command(BaseCommand):
    help = (
        "Refresh grants now: those of an account, or all that are due. A worker does this by itself;"
        " this is for operators who do not want to wait. Exit code 0: all are fresh; 1: some are"
        " not, each named on standard error; 2: nothing done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", help="the account's slug; fresh tokens are replaced, too")
        parser.add_argument("--provider", help="only grants of this provider")
        parser.add_argument(
            "--all-due", action="store_true", help="only what is due (of all accounts by default)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["account"] and not options["all_due"]:
            raise CommandError("Name an --account, or say --all-due.", returncode=2)
        with raise_command_errors():
            rows = _chosen(options)
        counts: Counter[str] = Counter()
        with ThreadPoolExecutor(THREADS) as pool:
            for batch in _batches(rows):
                counts.update(pool.map(self._refresh, batch))
        self.stdout.write(f"refreshed={counts['refreshed']} failed={counts['failed']}")
        if counts["failed"]:
            sys.exit(1)

    def _refresh(self, row: tuple[uuid.UUID, uuid.UUID]) -> str:
        account_id, id = row
        try:
            # A due token may have some minutes left: whatever its age, it is replaced.
            get_fresh_token(
                account_id=account_id, id=id, actor=get_command_actor("refresh_tokens"), force=True
            )
        except ServiceError as problem:
            self.stderr.write(f"{id}: {problem.detail}")
        except (DatabaseError, InterfaceError):
            self.stderr.write(f"{id}: The database stopped answering.")
        else:
            return "refreshed"
        finally:
            connection.close()
        return "failed"


def _chosen(options: dict[str, Any]) -> Any:
    kinds = {name for name, kind in get_registry().kinds.items() if kind.refreshes}
    rows = Credential.objects.filter(NOT_ENDED, kind__in=sorted(kinds))
    if options["account"]:
        rows = rows.filter(account_id=get_account(options["account"]).id)
    if options["provider"]:
        rows = rows.filter(provider=options["provider"])
    if options["all_due"]:
        rows = rows.filter(Q(refresh_next_at__lte=DbNow()))
    return rows.order_by("id").values_list("account_id", "id")


def _batches(rows: Any) -> Iterator[list[tuple[uuid.UUID, uuid.UUID]]]:
    """By id, so that what is refreshed meanwhile moves nothing."""
    after: uuid.UUID | None = None
    while batch := list(islice(rows.filter(id__gt=after) if after else rows, BATCH)):
        yield batch
        after = batch[-1][1]
