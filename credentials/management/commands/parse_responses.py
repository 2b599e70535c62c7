"""`manage.py parse_responses`: parse token responses again that could not be read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.services import get_account
from common.actors import get_command_actor
from common.db.ids import parse_uuid
from common.management import raise_command_errors
from credentials.health.models import UnreadableResponse
from credentials.refresh.recovered_tokens import parse_stored_response
from vault.sealing import SecretUnavailableError

RESULTS = ("stored", "readable", "unreadable", "superseded", "busy", "undecryptable")


class Command(BaseCommand):
    help = (
        "Parse the token responses again that could not be read, after an update of Latchkey or of a"
        " provider's file, and store the tokens of those that can be read now. Prints the number of"
        " each result; nothing of a response. Exit code 1 if any is still unreadable."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", help="the slug of one account (default: all)")
        parser.add_argument("--credential", help="the id of one credential (default: all)")
        parser.add_argument("--dry-run", action="store_true", help="store and delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = UnreadableResponse.objects.all()
        with raise_command_errors():
            if slug := options["account"]:
                rows = rows.filter(account_id=get_account(slug).id)
        if options["credential"]:
            if (id := parse_uuid(options["credential"])) is None:
                raise CommandError("--credential is no id.", returncode=2)
            rows = rows.filter(credential_id=id)
        counts: Counter[str] = Counter()
        actor = get_command_actor("parse_responses")
        for row in rows.order_by("id").iterator():
            try:
                result: str = parse_stored_response(row, actor=actor, dry_run=options["dry_run"])
            except SecretUnavailableError:
                result = "undecryptable"
            counts[result] += 1
            self.stderr.write(f"{row.credential_id}: {result}")
        self.stdout.write(" ".join(f"{result}={counts[result]}" for result in RESULTS))
        if counts["unreadable"] or counts["undecryptable"]:
            raise SystemExit(1)
