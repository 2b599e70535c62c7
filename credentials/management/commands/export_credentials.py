"""`manage.py export_credentials`: write credentials in a form that an import reads."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from accounts.services import get_account
from common import strict_json
from common.db.ids import parse_uuid
from common.management import raise_command_errors
from credentials.imports.files.recognition import FORMATS
from credentials.models import Credential
from credentials.services.export import iter_documents
from credentials.services.export_formats import require_workbook_size, write_export

_EXACT_FILTERS: Final = ("provider", "kind", "owner_email", "external_id")


class Command(BaseCommand):
    help = (
        "Write the credentials of an account to standard output, newest first, without secrets. Imported"
        " again, each line changes the credential of its id and touches no secret."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--format", choices=FORMATS, default="ndjson")
        for name in _EXACT_FILTERS:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, help=f"only credentials with this {name}")
        parser.add_argument("--oauth-app", help="only credentials of the OAuth app with this id")
        parser.add_argument("--metadata", help="only credentials whose metadata has this JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account = get_account(options["account"])
            rows = _filter(Credential.objects.filter(account_id=account.id), options)
            if options["format"] == "xlsx":
                require_workbook_size(rows)
        # `| head` closes the pipe once it has its lines.
        with contextlib.suppress(BrokenPipeError):
            for chunk in write_export(iter_documents(rows), options["format"]):
                sys.stdout.buffer.write(chunk)
            sys.stdout.flush()


def _filter(rows: QuerySet[Credential], options: dict[str, Any]) -> QuerySet[Credential]:
    values = {name: options[name] for name in _EXACT_FILTERS if options[name] is not None}
    rows = rows.filter(**values)
    if options["oauth_app"] is not None:
        id = parse_uuid(options["oauth_app"])
        if id is None:
            raise CommandError("--oauth-app: must be an id", returncode=2)
        rows = rows.filter(oauth_app_id=id)
    if options["metadata"] is not None:
        metadata = strict_json.check_metadata_filter(strict_json.loads(options["metadata"]))
        rows = rows.filter(metadata__jsoncontains=metadata)
    return rows
