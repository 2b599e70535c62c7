"""`manage.py import_template`: write a file to fill in for a kind of credential."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from credentials.imports.files.templates import TEMPLATE_FORMATS, build_template
from providers.registry import get_registry


class Command(BaseCommand):
    help = (
        "Write a file with the columns that an import of a kind has, and one row to fill in, to"
        " standard output."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", help="a kind, such as stripe_key")
        parser.add_argument("--format", choices=TEMPLATE_FORMATS, default="csv")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = get_registry().get_kind(options["kind"])
        if kind is None:
            names = sorted(get_registry().kinds)
            similar = [name for name in names if options["kind"].split("_")[0] in name][:8]
            hint = f" Similar: {', '.join(similar)}." if similar else ""
            raise CommandError(f"There is no kind {options['kind']!r}.{hint}", returncode=2)
        sys.stdout.buffer.write(build_template(kind, options["format"]))
        sys.stdout.flush()
