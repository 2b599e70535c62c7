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

# A call to a provider that does not respond lasts 12 seconds. Without a limit, a worker whose
# client keeps its connection open would never end.
SHUTDOWN_SECONDS: Final = 20
"""Seconds that requests under way have after the signal to end."""

# With DEBUG, a developer waits for the end after Ctrl-C.
DEBUG_SHUTDOWN_SECONDS: Final = 2


class Command(BaseCommand):
    help = "Serve the API and the admin. Does not start with a wrong key or an unmigrated database."

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
            # Each client that sends its body slowly occupies one.
            blocking_threads=settings.BLOCKING_THREADS,
            respawn_failed_workers=True,
            workers_kill_timeout=DEBUG_SHUTDOWN_SECONDS if settings.DEBUG else SHUTDOWN_SECONDS,
        ).serve()
