from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import get_account, token_create
from common.actors import get_command_actor
from common.db.clock import db_now
from common.management import raise_command_errors
from common.scopes import ALL


class Command(BaseCommand):
    help = "Create an API token and print it. It is displayed only now: only its hash is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument("--scopes", required=True, help=f"with commas, of: {', '.join(ALL)}")
        parser.add_argument("--days", type=int, help="days until it expires (default: never)")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is not None and not 1 <= days <= 3650:
            raise CommandError("--days must be from 1 to 3650", returncode=2)
        with raise_command_errors():
            _, token = token_create(
                account_id=get_account(options["account"]).id,
                name=options["name"],
                scopes=[scope.strip() for scope in options["scopes"].split(",")],
                expires_at=db_now() + dt.timedelta(days=days) if days else None,
                actor=get_command_actor("create_token"),
            )
        self.stdout.write(token)
