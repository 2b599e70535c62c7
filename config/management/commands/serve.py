from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from granian.constants import Interfaces
from granian.server import Server

from config.shared_metrics import shared_metrics
from config.startup import disconnect, port_is_free, verify
from credentials.refresh import spool

PATIENCE: Final = 20
"""Seconds that what is under way may go on after the signal to end: a call to a provider that gives
no answer lasts 12. Without an end, a worker whose client keeps its connection would never be gone."""

IMPATIENCE: Final = 2
"""The same with DEBUG, where somebody waits for the end of Ctrl-C."""


class Command(BaseCommand):
    help = "Serve the API and the admin. Refuses to start on a wrong key or an unmigrated database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
        parser.add_argument(
            "--workers", type=int, default=1, help="processes (default: %(default)s)"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        with shared_metrics():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["port"] <= 65535 or options["workers"] < 1:
            raise ImproperlyConfigured("--port must be from 1 to 65535, --workers at least 1.")
        verify()
        port_is_free(options["host"], options["port"])
        spool.replay_all()
        disconnect()
        self.stderr.write(f"Latchkey listens on http://{options['host']}:{options['port']}")
        Server(
            "config.wsgi:application",
            address=options["host"],
            port=options["port"],
            workers=options["workers"],
            interface=Interfaces.WSGI,
            # A client that sends its body slowly holds one.
            blocking_threads=settings.BLOCKING_THREADS,
            respawn_failed_workers=True,
            workers_kill_timeout=IMPATIENCE if settings.DEBUG else PATIENCE,
        ).serve()
