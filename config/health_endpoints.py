"""Endpoints for load balancers: /healthz (the process runs) and /readyz (it can serve)."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from vault.services import verify_keyring


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Respond with 200 as long as the process responds at all."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Respond with 200, or with 503 and what is missing: `database`, `migrations` or `keys`."""
    missing = None
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            missing = "migrations"
        else:
            verify_keyring()
    except (DatabaseError, InterfaceError):
        missing = "database"
    except ImproperlyConfigured:
        missing = "keys"
    if missing:
        return JsonResponse({"status": "unavailable", "missing": missing}, status=503)
    return JsonResponse({"status": "ok"})
