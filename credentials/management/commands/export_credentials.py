"""`manage.py export_credentials`: write credentials as NDJSON or CSV."""

from __future__ import annotations

import contextlib
import csv
import sys
import uuid
from collections.abc import Iterator
from typing import Any, Final

import orjson
from django.core.management.base import BaseCommand, CommandParser

from accounts.services import get_account
from common.management import raise_command_errors
from credentials.core import queries
from credentials.models import Credential
from credentials.services.export import EXPORT_COLUMNS, format_row

BATCH: Final = 1000


class Command(BaseCommand):
    help = (
        "Write the credentials of an account to standard output, newest first, with masked secrets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account = get_account(options["account"])
        documents = _read_documents(account.id)
        # `| head` closes the pipe once it has its lines.
        with contextlib.suppress(BrokenPipeError):
            if options["format"] == "csv":
                writer = csv.writer(sys.stdout)
                writer.writerow(EXPORT_COLUMNS)
                writer.writerows(format_row(document) for document in documents)
            else:
                for document in documents:
                    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
                sys.stdout.flush()


def _read_documents(account_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Yield all credentials, with no more than BATCH of them in memory."""
    queryset = Credential.objects.filter(account_id=account_id)
    page = queries.fetch_filtered(queryset, BATCH)
    while page:
        yield from (row.document for row in page)
        # By id and not by offset: rows that are created in the meantime move nothing.
        page = queries.fetch_filtered(queryset.filter(id__lt=page[-1].id), BATCH)
