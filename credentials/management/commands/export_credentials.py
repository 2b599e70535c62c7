from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import orjson
from django.core.management.base import BaseCommand, CommandParser

from accounts.services import get_account
from common.management import raise_command_errors
from credentials.core import queries
from credentials.models import Credential
from credentials.services.export import EXPORT_COLUMNS, format_row

BATCH = 1000


class Command(BaseCommand):
    help = (
        "Write the credentials of an account to standard output, newest first. Secrets are masked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account = get_account(options["account"])
        with contextlib.suppress(BrokenPipeError):  # `| head` has seen enough.
            self._write(_documents(account.id), options)

    def _write(self, rows: Iterator[dict[str, Any]], options: dict[str, Any]) -> None:
        if options["format"] == "csv":
            _write_csv(rows, sys.stdout)
        else:
            for document in rows:
                sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
            sys.stdout.flush()


def _documents(account_id: Any) -> Iterator[dict[str, Any]]:
    """All credentials, a batch at a time: the export of a million rows holds a thousand."""
    queryset = Credential.objects.filter(account_id=account_id)
    page = queries.fetch_filtered(queryset, BATCH)
    while page:
        yield from (shown.document for shown in page)
        page = queries.fetch_filtered(queryset.filter(id__lt=page[-1].id), BATCH)


def _write_csv(rows: Iterator[dict[str, Any]], out: TextIO) -> None:
    writer = csv.writer(out)
    writer.writerow(EXPORT_COLUMNS)
    for document in rows:
        writer.writerow(format_row(document))
