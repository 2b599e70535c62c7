from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.services import account_create
from common.actors import get_command_actor
from common.management import raise_command_errors


class Command(BaseCommand):
    help = "Create an account (a tenant). Prints its slug, which other commands take as --account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="for example: 'Acme Inc.'")

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account = account_create(
                name=options["name"], actor=get_command_actor("create_account")
            )
        self.stdout.write(account.slug)
