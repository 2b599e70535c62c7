from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.services import account_create
from common.actors import command
from common.management import refusals


class Command(BaseCommand):
    help = "Create an account (a tenant). Prints its slug, which other commands take as --account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="for example: 'Acme Inc.'")

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals():
            account = account_create(name=options["name"], actor=command("create_account"))
        self.stdout.write(account.slug)
