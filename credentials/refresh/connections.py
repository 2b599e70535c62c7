"""Letting go of the database while waiting for somebody else."""

from __future__ import annotations

import time

from django.db import connection


def let_go() -> None:
    """Give the connection back, so that whoever has work for it gets it; a test's own block stays."""
    if not connection.in_atomic_block:
        connection.close()


def sleep(seconds: float) -> None:
    """Wait without holding a connection."""
    let_go()
    time.sleep(seconds)
