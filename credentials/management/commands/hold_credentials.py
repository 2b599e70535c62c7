"""`manage.py hold_credentials`: put grants on hold, or release them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.services import get_account
from common.actors import get_command_actor
from common.db.ids import parse_uuid
from common.management import raise_command_errors
from credentials.models import Credential
from credentials.services import credentials_hold


class Command(BaseCommand):
    help = (
        "Put the grants of an account on hold, so that nothing refreshes them while another system does."
        " With --release, refresh them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--provider", help="only grants of this provider")
        parser.add_argument("--oauth-app", help="only grants of the OAuth app with this id")
        parser.add_argument(
            "--release", action="store_true", help="release the grants that are on hold"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account_id = get_account(options["account"]).id
        rows = Credential.objects.filter(account_id=account_id)
        if options["provider"]:
            rows = rows.filter(provider=options["provider"])
        if options["oauth_app"]:
            id = parse_uuid(options["oauth_app"])
            rows = rows.filter(oauth_app_id=id) if id else rows.none()
        count = credentials_hold(
            account_id=account_id,
            rows=rows,
            actor=get_command_actor("hold_credentials"),
            on_hold=not options["release"],
        )
        self.stdout.write(f"{'released' if options['release'] else 'on_hold'}={count}")
