"""Endpoints for load balancers: /healthz (the process runs) and /readyz (it can serve)."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
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
    missing, warnings = None, list[str]()
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
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
        document = {"status": "unavailable", "missing": missing, **extra}
        return JsonResponse(document, status=503)
    return JsonResponse({"status": "ok", **extra})


def describe_clock_difference(seconds: float) -> str:
    """Return the sentence about a clock that is `seconds` ahead of the database's."""
    direction = "ahead of" if seconds > 0 else "behind"
    return f"clock: this server's clock is {abs(seconds):.0f} s {direction} the database's."
