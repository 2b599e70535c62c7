"""Endpoints for load balancers: /healthz (the process runs) and /readyz (it can serve)."""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from common.db.clock import measure_clock_difference
from credentials.restore.services import find_undecided_restore
from vault.services import verify_keyring


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Respond with 200 as long as the process responds at all."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Respond with 200, or with 503 and what is missing: `database`, `migrations` or `keys`.

    `warnings` has a sentence for each thing that a person has to look at while the process can serve.
    A clock that differs from the database's by more than MAX_CLOCK_DIFFERENCE seconds is a warning
    in either response: no time that decides anything is this process's, but signed requests and
    one-time passwords need it. It is no reason for 503, because the database's clock may be the
    wrong one, and then no process at all would be ready.
    """
    global _checked
    # Several load balancers may send this each second.
    if time.monotonic() >= _checked.until:
        _checked = _Check(check_readiness(), time.monotonic() + settings.READINESS_SECONDS)
    return JsonResponse(_checked.document, status=503 if "missing" in _checked.document else 200)


class _Check(NamedTuple):
    document: dict[str, Any]
    until: float


_checked = _Check({}, 0.0)


def check_readiness() -> dict[str, Any]:
    """Return the document of /readyz."""
    missing, warnings = None, list[str]()
    try:
        connection.ensure_connection()
        if has_unapplied_migrations():
            missing = "migrations"
        else:
            verify_keyring()
        difference = measure_clock_difference()
        if abs(difference) > settings.MAX_CLOCK_DIFFERENCE:
            warnings.append(describe_clock_difference(difference))
        if missing is None and find_undecided_restore():
            warnings.append("restore: grants wait for a decision, see manage.py restored.")
    except (DatabaseError, InterfaceError):
        missing = "database"
    except ImproperlyConfigured:
        missing = "keys"
    extra = {"warnings": warnings} if warnings else {}
    if missing:
        return {"status": "unavailable", "missing": missing, **extra}
    return {"status": "ok", **extra}


def has_unapplied_migrations() -> bool:
    """Return whether the database lacks a migration of this code."""
    if list_migrations() <= MigrationRecorder(connection).applied_migrations().keys():
        return False
    # Its graph knows that one migration may replace others. Making it takes most of a second.
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@functools.cache
def list_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations of this code, each as its app and its name."""
    return frozenset(MigrationLoader(None).graph.nodes)


def describe_clock_difference(seconds: float) -> str:
    """Return the sentence about a clock that is `seconds` ahead of the database's."""
    direction = "ahead of" if seconds > 0 else "behind"
    return f"clock: this server's clock is {abs(seconds):.0f} s {direction} the database's."
