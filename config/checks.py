"""System checks of our own settings, for `manage.py check --deploy` and `manage.py doctor`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from vault.keyring import get_keyring


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Return what is missing or weak in production's settings. No database is needed."""
    found: list[CheckMessage] = []
    try:
        get_keyring()
    except ImproperlyConfigured as error:
        found.append(checks.Error(str(error), id="config.E001"))
    found += _check_addresses()
    spool, temporary = Path(settings.SPOOL_DIR).resolve(), Path(tempfile.gettempdir()).resolve()
    if spool.is_relative_to(temporary):
        found.append(
            checks.Warning(
                f"SPOOL_DIR is below {temporary}, which may be emptied: grants could be lost.",
                hint="Name a folder on a disk that outlives the process.",
                id="config.W003",
            )
        )
    return found + _check_optional_settings()


def _check_addresses() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.PUBLIC_URL.startswith("https://"):
        found.append(
            checks.Warning(
                "PUBLIC_URL is not https: tokens and sessions cross the network in the clear.",
                hint="Terminate TLS in front (deploy/nginx), and set PUBLIC_URL to the https address.",
                id="config.W001",
            )
        )
    elif not settings.TRUSTED_PROXIES:
        found.append(
            checks.Warning(
                "TRUSTED_PROXIES is 0: the audit log records the reverse proxy's address, and all"
                " clients share its rate limits.",
                hint="Set it to the number of proxies in front that set X-Forwarded-For.",
                id="config.W005",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            checks.Warning(
                "ALLOWED_HOSTS allows every name, and connect links are built from one.",
                hint="List the names that clients use.",
                id="config.W002",
            )
        )
    return found


def _check_optional_settings() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        found.append(
            checks.Info(
                "DATABASE_URL is SQLite: one machine, one writer at a time.",
                hint="Use PostgreSQL for more than one process or machine.",
                id="config.I001",
            )
        )
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 20:
        found.append(
            checks.Warning(
                "METRICS_TOKEN has fewer than 20 characters.",
                hint="openssl rand -hex 20",
                id="config.W004",
            )
        )
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        found.append(
            checks.Info(
                "EMAIL_URL is unset: no owner is notified when a credential stops working.",
                hint="submission://USER:PASSWORD@HOST:587/?_default_from_email=ADDRESS",
                id="config.I002",
            )
        )
    return found
