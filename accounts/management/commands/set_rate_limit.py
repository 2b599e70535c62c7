from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.rate_limits import QUOTAS
from accounts.services import get_account, rate_limit_set
from common.actors import get_command_actor
from common.db.ids import parse_uuid
from common.management import raise_command_errors


class Command(BaseCommand):
    help = "Give an account, or one of its tokens, another rate limit than the default."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(QUOTAS), help="the limit")
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--token", help="id of a token (default: all of the account together)")
        parser.add_argument("--requests", type=int, help="requests in the time of the default")
        parser.add_argument("--default", action="store_true", help="remove the override")

    def handle(self, *args: Any, **options: Any) -> None:
        token_id = parse_uuid(options["token"] or "")
        if options["token"] and token_id is None:
            raise CommandError("--token must be the id of a token", returncode=2)
        if (options["requests"] is None) != options["default"]:
            raise CommandError("Give either --requests or --default.", returncode=2)
        with raise_command_errors():
            rate_limit_set(
                account_id=get_account(options["account"]).id,
                token_id=token_id,
                name=options["name"],
                requests=options["requests"],
                seconds=QUOTAS[options["name"]].seconds,
                actor=get_command_actor("set_rate_limit"),
            )
