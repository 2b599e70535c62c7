"""The command `verify_keys`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from vault import rotation
from vault.key_usage import count_rows_by_key


class Command(BaseCommand):
    help = (
        "Decrypt every sealed value of the database. Prints how many are encrypted with each key, then"
        " each one that cannot be decrypted. Exit code 1 if there is one. Changes nothing, prints no value."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        usages = list(count_rows_by_key())
        for column, key_id, rows in usages:
            self.stdout.write(f"{column} {key_id} {rows}")
        if not usages:
            self.stdout.write("Nothing is sealed yet.")
        failed = False
        for value in rotation.iter_undecryptable():
            self.stdout.write(f"cannot be decrypted: {value}")
            failed = True
        if failed:
            raise SystemExit(1)
