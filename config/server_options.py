"""Options of the two server commands, and checks before a server starts."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandParser

from config.startup import verify_startup
from egress.ports import check_port_available


def add_server_arguments(parser: CommandParser, *, port: int) -> None:
    """Add --host, --port and --workers."""
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")


def check_server_options(options: Mapping[str, Any]) -> None:
    """Raise ImproperlyConfigured if the server cannot start.

    Options may be invalid, the keys or the database may be wrong, or the port may be in use.
    """
    if not 1 <= options["port"] <= 65535 or options["workers"] < 1:
        raise ImproperlyConfigured("--port must be from 1 to 65535, --workers at least 1.")
    verify_startup()
    require_free_port(options["host"], options["port"])


def require_free_port(host: str, port: int) -> None:
    """Raise ImproperlyConfigured if this process cannot listen on the port now."""
    # The server sets SO_REUSEPORT, so it would start even if another server had the port, and
    # each would receive some of the requests.
    try:
        check_port_available(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ImproperlyConfigured(f"Port {port} is taken; --port chooses another.") from None
        reason = error.strerror or os.strerror(error.errno or 0)
        raise ImproperlyConfigured(
            f"Cannot listen on {host}, port {port} ({reason}): --host and --port choose others."
        ) from None
