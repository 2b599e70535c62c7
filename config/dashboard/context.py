"""What the dashboard shows to whom: each part needs the permission to see what it is about."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

from common.admin.formatting import format_badge, format_provider, format_relative_time
from common.db.clock import db_now
from config.dashboard import charts
from config.dashboard.statistics import Figures, get_statistics
from credentials.models import Credential
from events.admin import add_display_names
from events.models import Event
from providers.registry import get_registry

ROWS: Final = 5
EVENTS: Final = 8
PROVIDERS: Final = 10
SOON: Final = dt.timedelta(days=7)
_NEEDED: Final = (
    "id", "name", "provider", "properties", "health", "expires_at", "health_status", "account__name",
)  # fmt: skip


def build_context(request: HttpRequest) -> dict[str, Any]:
    """The parts of the page, by name; a part that the user may not see is not there."""
    parts: dict[str, Any] = {}
    if request.user.has_perm("credentials.view_credential"):
        parts |= {"broken": _broken(), "expiring": _expiring(), "list_url": _list()}
        parts |= _figures(get_statistics())
    if request.user.has_perm("events.view_event"):
        parts["events"] = _lately()
    return parts


def _list(**filters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return reverse("admin:credentials_credential_changelist") + (f"?{query}" if query else "")


def _rows(queryset: Any) -> list[dict[str, Any]]:
    rows = queryset.select_related("account").only(*_NEEDED)[:ROWS]
    return [
        {
            "title": str(row),
            "url": reverse("admin:credentials_credential_change", args=[row.pk]),
            "mark": _mark(row.provider),
            "account": row.account.name,
            "note": row.health["notes"][0] if row.health["notes"] else "",
            "since": format_relative_time(dt.datetime.fromisoformat(row.health["time"])),
            "expires": format_relative_time(row.expires_at),
            "badge": format_badge(row.health_status),
        }
        for row in rows
    ]


def _broken() -> dict[str, Any]:
    rows = Credential.objects.filter(health_status="error").order_by("-id")
    return {"rows": _rows(rows), "url": _list(health="error")}


def _expiring() -> dict[str, Any]:
    now = db_now()
    rows = Credential.objects.filter(expires_at__gte=now, expires_at__lt=now + SOON)
    return {"rows": _rows(rows.order_by("expires_at", "id")), "url": _list(expires="7")}


def _lately() -> list[Event]:
    events = add_display_names(Event.objects.order_by("-id")[:EVENTS])
    for event in events:
        event.ago = format_relative_time(event.time)  # type: ignore[attr-defined]
    return events


def _figures(found: Figures | None) -> dict[str, Any]:
    if found is None:
        return {"figures": None}
    return {
        "figures": found,
        "age": format_relative_time(found.counted_at),
        "tiles": [
            {"status": status, "count": found.health.get(status, 0), "url": _list(health=status)}
            for status in ("error", "warn", "unknown", "ok")
        ],
        "health_chart": charts.draw_health_bar(found.health) if found.total else None,
        "time_chart": charts.draw_line_chart(dt.date.fromisoformat(found.start), found.weeks),
        "weeks": _weeks(found),
        "providers": _providers(found),
        "more_providers": max(len(found.providers) - PROVIDERS, 0),
    }


def _weeks(found: Figures) -> list[tuple[dt.date, int]]:
    start = dt.date.fromisoformat(found.start)
    return [(start + dt.timedelta(weeks=n), count) for n, count in enumerate(found.weeks)]


def _providers(found: Figures) -> list[dict[str, Any]]:
    most = max(found.providers.values(), default=1)
    return [
        {
            "mark": _mark(slug),
            "count": count,
            "broken": found.broken.get(slug, 0),
            "url": _list(provider=slug),
            "broken_url": _list(provider=slug, health="error"),
            "bar": charts.draw_share_bar(count, most, found.broken.get(slug, 0)),
        }
        for slug, count in list(found.providers.items())[:PROVIDERS]
    ]


def _mark(slug: str) -> Any:
    found = get_registry().get_provider(slug)
    return format_provider(slug, found.name if found and found.slug == slug else slug)
