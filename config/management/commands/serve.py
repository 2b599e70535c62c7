from __future__ import annotations

import logging
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

SERVER_LOGGING: Final = {
    "handlers": {},
    "formatters": {},
    # Its lines go the way of ours: to standard error, as JSON in production.
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}
"""The logging of granian, which would otherwise print plain text to standard output."""


def is_no_thread_warning(record: logging.LogRecord) -> bool:
    """Return False for granian's advice to have fewer threads: most of ours only wait."""
    return "Python threads, which seems quite high" not in record.getMessage()


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
        logging.getLogger("_granian").addFilter(is_no_thread_warning)
        Server(
            "config.wsgi:application",
            address=options["host"],
            port=options["port"],
            workers=options["workers"],
            interface=Interfaces.WSGI,
            # Each client that sends its body slowly occupies one.
            blocking_threads=settings.BLOCKING_THREADS,
            log_dictconfig=SERVER_LOGGING,
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=DEBUG_SHUTDOWN_SECONDS if settings.DEBUG else SHUTDOWN_SECONDS,
        ).serve()
