from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers.file_conversion import FORMAT, convert_document


class Command(BaseCommand):
    help = "Converts provider files of the first format, in place. Others stay as they are."
    # The check reports exactly the files that this command converts.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        for path in options["files"]:
            try:
                former = orjson.loads(path.read_bytes())
                document = convert_document(former)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise CommandError(f"{path}: {type(error).__name__}: {error}") from None
            if former.get("format") == FORMAT:
                self.stdout.write(f"{path}: has the present format.")
                continue
            path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
            self.stdout.write(f"{path}: converted.")
