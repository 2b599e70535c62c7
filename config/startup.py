"""Checks at the start: one line on standard error says what is wrong and what to do."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured


@contextlib.contextmanager
def exit_on_bad_configuration() -> Iterator[None]:
    """Turn ImproperlyConfigured into one line and exit code 2, without traceback and values."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.stderr.write(f"latchkey: {' '.join(str(error).split())}\n")
        sys.exit(2)


def disconnect_database() -> None:
    """Close the connections of `verify_startup`: a pool does not survive the fork of a worker."""
    from django.db import connection

    connection.close()
    # Only PostgreSQL's backend has a pool.
    if close_pool := getattr(connection, "close_pool", None):
        close_pool()


def verify_startup() -> None:
    """Raise ImproperlyConfigured if a setting, the database or the keys are unusable."""
    from django.db import InterfaceError, OperationalError, connection

    from egress.policy import allowed_targets
    from vault.services import verify_keyring

    allowed_targets()
    try:
        # Once without the pool, whose own error comes later and says less.
        with connection.wrap_database_errors:
            driver: Any = connection.Database  # type: ignore[attr-defined]
            driver.connect(**connection.get_connection_params()).close()
        verify_keyring()
    except (OperationalError, InterfaceError) as error:
        # The driver's text names host and reason; the password is in neither.
        reason = " ".join(str(error).split())[:300]
        raise ImproperlyConfigured(
            f"DATABASE_URL: the database is unavailable ({reason}); start it or correct the address."
        ) from None
