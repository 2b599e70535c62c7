from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import server_options
from config.multiprocess_metrics import share_metrics
from config.startup import disconnect_database


class Command(BaseCommand):
    help = "Serve the proxy (/v1/proxy/… and /proxy/…) on its own port. See docs/proxy.md."

    def add_arguments(self, parser: CommandParser) -> None:
        server_options.add_server_arguments(parser, port=8001)

    def execute(self, *args: Any, **options: Any) -> str | None:
        with share_metrics():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        from config.proxy_server import serve

        server_options.check_server_options(options)
        disconnect_database()
        self.stderr.write(f"The proxy listens on http://{options['host']}:{options['port']}")
        serve(host=options["host"], port=options["port"], workers=options["workers"])
