from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser

from config.shared_metrics import shared_metrics
from config.startup import disconnect, port_is_free, verify


class Command(BaseCommand):
    help = "Serve the proxy, /v1/proxy/… and /proxy/…, on a port of its own. docs/proxy.md"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument("--port", type=int, default=8001, help="default: %(default)s")
        parser.add_argument(
            "--workers", type=int, default=1, help="processes (default: %(default)s)"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        with shared_metrics():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        from config.proxy_server import serve

        if not 1 <= options["port"] <= 65535 or options["workers"] < 1:
            raise ImproperlyConfigured("--port must be from 1 to 65535, --workers at least 1.")
        verify()
        port_is_free(options["host"], options["port"])
        disconnect()
        self.stderr.write(f"The proxy listens on http://{options['host']}:{options['port']}")
        serve(host=options["host"], port=options["port"], workers=options["workers"])
