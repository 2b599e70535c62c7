"""manage.py verify_keys"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from vault import rotation
from vault.key_usage import count_rows_by_key


class Command(BaseCommand):
    help = (
        "Open every sealed value of the database. Prints how many lie under each key, then each one"
        " that does not open. Exit code 1 if there is one. Changes nothing, shows no value."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        tallies = list(count_rows_by_key())
        for column, key_id, rows in tallies:
            self.stdout.write(f"{column} {key_id} {rows}")
        if not tallies:
            self.stdout.write("Nothing is sealed yet.")
        failed = False
        for unopened in rotation.iter_undecryptable():
            self.stdout.write(f"does not open: {unopened}")
            failed = True
        if failed:
            raise SystemExit(1)
