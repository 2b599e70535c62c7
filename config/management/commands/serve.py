from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from granian.constants import Interfaces
from granian.server import Server

from config import server_options
from config.multiprocess_metrics import share_metrics
from config.startup import disconnect_database
from credentials.refresh import spool

PATIENCE: Final = 20
"""Seconds that what is under way may go on after the signal to end: a call to a provider that gives
no answer lasts 12. Without an end, a worker whose client keeps its connection would never be gone."""

IMPATIENCE: Final = 2
"""The same with DEBUG, where somebody waits for the end of Ctrl-C."""


class Command(BaseCommand):
    help = "Serve the API and the admin. Refuses to start on a wrong key or an unmigrated database."

    def add_arguments(self, parser: CommandParser) -> None:
        server_options.add_server_arguments(parser, port=8000)

    def execute(self, *args: Any, **options: Any) -> str | None:
        with share_metrics():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        server_options.check_server_options(options)
        spool.replay_all()
        disconnect_database()
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
