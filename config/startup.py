"""Refusing to start: one line on standard error that says what is wrong and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from egress.ports import try_to_listen


@contextlib.contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Turn ImproperlyConfigured into its sentence and exit code 2: no traceback, no values."""
    try:
        yield
    except ImproperlyConfigured as refusal:
        sys.stderr.write(f"latchkey: {' '.join(str(refusal).split())}\n")
        sys.exit(2)


def port_is_free(host: str, port: int) -> None:
    """Raise ImproperlyConfigured where nobody can listen there now.

    The server shares its port with whoever lets it (SO_REUSEPORT), so it would start beside another
    and each would get some of the requests.
    """
    try:
        try_to_listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ImproperlyConfigured(f"Port {port} is taken; --port chooses another.") from None
        reason = error.strerror or os.strerror(error.errno or 0)
        raise ImproperlyConfigured(
            f"Nobody can listen on {host}, port {port} ({reason}): --host and --port choose others."
        ) from None


def disconnect() -> None:
    """Close what `verify` opened: a pool does not survive the fork of a worker."""
    from django.db import connection

    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]


def verify() -> None:
    """Raise ImproperlyConfigured unless settings can be read, the database answers, the keys fit it."""
    from django.db import InterfaceError, OperationalError, connection

    from egress.allow import opened
    from vault.services import verify_ring

    opened()
    try:
        # Once without the pool, whose own refusal comes later and says less.
        with connection.wrap_database_errors:
            driver: Any = connection.Database  # type: ignore[attr-defined]
            driver.connect(**connection.get_connection_params()).close()
        verify_ring()
    except (OperationalError, InterfaceError) as error:
        # The driver's text names host and reason; the password is in neither.
        reason = " ".join(str(error).split())[:300]
        raise ImproperlyConfigured(
            f"DATABASE_URL: the database does not answer ({reason}); start it or correct the address."
        ) from None
