"""For load balancers: is the process there, and can it serve?"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from vault.services import verify_keyring


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers: it looks at nothing else."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, is migrated, and fits the vault's keys; else 503 with what is not."""
    if missing := _missing():
        return JsonResponse({"status": "unavailable", "missing": missing}, status=503)
    return JsonResponse({"status": "ok"})


def _missing() -> str | None:
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "migrations"
        verify_keyring()
    except (DatabaseError, InterfaceError):
        return "database"
    except ImproperlyConfigured:
        return "keys"
    return None
