"""The health of a credential as it is displayed: as stored, or a warning while its app is rejected.

A rejected OAuth app may have 100,000 credentials. Writing the warning to each of them, and a webhook
for each, would take minutes, and be undone as soon as the app is corrected. So it is computed from
the app's one row when a credential is read. Filters by status look up the ids of the rejected apps
first. Usually there are none, and the filter is the column's own index.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection
from django.db.models import Q, QuerySet

from common.datetimes import format_rfc3339
from common.db import dialect
from common.db.ids import to_uuid
from common.health import MAX_NOTES
from credentials.models import AppPause, Credential
from oauth_apps.models import OAuthApp
from providers.registry import get_registry

REJECTED_PAUSE_SQL: Final = "pause.revision = app.revision"
"""Of an `oauth_apps_oauthapp app` and the `credentials_apppause pause` that belongs to it."""

_REJECTED_APPS: Final = f"""
    SELECT app.id FROM credentials_apppause pause
    JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id AND {REJECTED_PAUSE_SQL}
    WHERE pause.pauses > 0"""  # noqa: S608

IN_DOUBT_NOTE: Final = (
    "It is not known if the provider has replaced this grant: its last refresh was interrupted, had no"
    " response, or is missing in this database. The grant is left alone until another refresh is safe."
)
"""The note while `refresh.state` is in_doubt. It ends by itself, so it is never stored."""

_AFFECTED_STATUSES: Final = ("unknown", "ok")
"""A warn or error has a reason of its own, which stays."""

_MAX_NAME: Final = 80


def find_rejected_app_ids(account_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Return the apps that their providers reject, of one account or of all."""
    # SQL, because a list runs it: building it from a queryset takes longer than running it.
    of_account = "AND app.account_id = %s" if account_id else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_REJECTED_APPS} {of_account}", dialect.adapt_all([account_id] if account_id else [])
        )
        return [to_uuid(id) for (id,) in cursor.fetchall()]


def filter_by_health_status(
    queryset: QuerySet[Credential], status: str, *, account_id: uuid.UUID | None = None
) -> QuerySet[Credential]:
    """Return the rows of `queryset` whose displayed status is `status`.

    `account_id` is the account of all rows, or None if they are of several.
    """
    app_ids = find_rejected_app_ids(account_id) if status != "error" else []
    if not app_ids:
        return queryset.filter(health_status=status)
    affected = build_affected_filter(app_ids)
    if status == "warn":
        return queryset.filter(Q(health_status="warn") | affected)
    return queryset.filter(health_status=status).exclude(affected)


def build_affected_filter(app_ids: list[uuid.UUID]) -> Q:
    """Return the condition that one of these rejected apps makes a credential's status `warn`."""
    kinds = [kind.name for kind in get_registry().kinds.values() if kind.refreshes]
    return Q(oauth_app_id__in=app_ids, health_status__in=_AFFECTED_STATUSES, kind__in=kinds)


def get_displayed_health(row: Credential) -> dict[str, Any]:
    """Return the health to display. Reads `row.oauth_app.refresh_pause`."""
    app: OAuthApp | None = row.oauth_app
    pause: AppPause | None = getattr(app, "refresh_pause", None)
    if app is None or pause is None or pause.revision != app.revision or not pause.pauses:
        return dict(row.health)
    rejected_at = format_rfc3339(pause.rejected_at)
    return display_health(row.health, row.kind, app_name=app.name, rejected_at=rejected_at)


def display_health(
    health: Mapping[str, Any], kind_name: str, *, app_name: str, rejected_at: str | None
) -> dict[str, Any]:
    """Return the health to display for a credential whose app is rejected since `rejected_at`."""
    kind = get_registry().get_kind(kind_name)
    # A kind that is not refreshed works without its app.
    if health["status"] not in _AFFECTED_STATUSES or kind is None or not kind.refreshes:
        return dict(health)
    notes = [build_rejection_note(app_name), *health["notes"]][:MAX_NOTES]
    return {"status": "warn", "notes": notes, "time": rejected_at or health["time"]}


def add_doubt_note(health: Mapping[str, Any]) -> dict[str, Any]:
    """Return the health to display for a credential whose `refresh.state` is in_doubt."""
    # The evidence that decided stays first, and the note about a mail last.
    first, rest = health["notes"][:1], health["notes"][1:]
    return {**health, "notes": [*first, IN_DOUBT_NOTE, *rest[-(MAX_NOTES - 2) :]]}


def build_rejection_note(app_name: str) -> str:
    name = " ".join(app_name.split())[:_MAX_NAME]
    return (
        f"The provider rejects its OAuth app {name}, so no new access token can be requested."
        " The app has to be corrected; its own health says why."
    )
