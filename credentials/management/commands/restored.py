"""`manage.py restored`: decide about grants after a restore of the database."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import get_account
from common.actors import get_command_actor
from common.datetimes import parse_rfc3339
from common.db.clock import db_now
from common.management import raise_command_errors
from credentials.restore.services import (
    GrantFilter,
    count_waiting_by_provider,
    grants_resume,
    restore_declare,
)


class Command(BaseCommand):
    help = (
        "After a restore of the database or a failover that lost commits: list the grants that wait,"
        " by provider. --at lets grants wait if the restore was not recognised. --resume lets the"
        " worker try the waiting ones: a provider rejects those that it has replaced."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--at", help="the database was restored to its state of this time (RFC 3339)"
        )
        action.add_argument("--resume", action="store_true", help="refresh the waiting grants")
        parser.add_argument(
            "--every-grant",
            action="store_true",
            help="with --at: also grants that were not due since, but may have been refreshed by hand",
        )
        parser.add_argument("--account", help="only grants of this account (its slug)")
        parser.add_argument("--provider", help="only grants of this provider (its slug)")
        parser.add_argument("--app", help="only grants of this OAuth app (its id)")
        parser.add_argument("--id", help="only the grant of this credential")

    def handle(self, *args: Any, **options: Any) -> None:
        only = self._build_filter(options)
        if options["at"]:
            self._declare(options, only)
        if options["resume"]:
            actor = get_command_actor("restored")
            self.stdout.write(f"resumed={grants_resume(actor=actor, only=only)}")
        for provider, count in count_waiting_by_provider(only):
            self.stdout.write(f"waiting={count} provider={provider}")

    def _declare(self, options: dict[str, Any], only: GrantFilter) -> None:
        restored_to = parse_rfc3339(options["at"])
        if restored_to is None or restored_to > db_now():
            raise CommandError(
                "--at must be a time in the past, such as 2026-11-30T19:00:00Z.", returncode=2
            )
        if any(only):
            raise CommandError("--at is about the whole database: leave filters out.", returncode=2)
        restore_declare(restored_to=restored_to, every_grant=options["every_grant"])

    def _build_filter(self, options: dict[str, Any]) -> GrantFilter:
        account_id = None
        if options["account"]:
            with raise_command_errors():
                account_id = get_account(options["account"]).id
        return GrantFilter(
            account_id=account_id,
            provider=options["provider"],
            oauth_app_id=_parse_id(options["app"], "--app"),
            credential_id=_parse_id(options["id"], "--id"),
        )


def _parse_id(text: str | None, name: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise CommandError(f"{name} must be an id.", returncode=2) from None
