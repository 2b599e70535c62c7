"""`manage.py change_app`: move the credentials of an OAuth app to another one of the same provider."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import get_account
from common.actors import get_command_actor
from common.db.ids import parse_uuid
from common.errors import ServiceError
from common.management import raise_command_errors
from credentials.models import Credential
from credentials.services import credential_change_app


class Command(BaseCommand):
    help = (
        "Move all credentials of an OAuth app to another one. Imports that name the former app still find"
        " them. The provider may reject the grants for the other client. Exit code 1 if one stayed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--from", required=True, help="the id of the OAuth app")
        parser.add_argument("--to", required=True, help="the id of the other OAuth app")

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account_id = get_account(options["account"]).id
        former, other = parse_uuid(options["from"]), parse_uuid(options["to"])
        if former is None or other is None:
            raise CommandError("--from and --to are ids of OAuth apps.", returncode=2)
        rows = Credential.objects.filter(account_id=account_id, oauth_app_id=former)
        actor, moved, stayed = get_command_actor("change_app"), 0, 0
        # The ids first: each credential is moved in a transaction of its own.
        for id in list(rows.order_by("id").values_list("id", flat=True)):
            try:
                moved += credential_change_app(
                    account_id=account_id, id=id, actor=actor, oauth_app_id=other
                )
            except ServiceError as error:
                stayed += 1
                self.stderr.write(f"{id}: {error.detail}")
        self.stdout.write(f"moved={moved} stayed={stayed}")
        if stayed:
            raise CommandError("Some credentials were not moved.", returncode=1)
