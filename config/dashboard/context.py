"""The template context of the dashboard. Each part needs the permission to view its objects."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from common.admin.formatting import format_badge, format_provider, format_relative_time
from common.db.clock import db_now
from config.dashboard import charts
from config.dashboard.statistics import Figures, get_statistics
from credentials.core.displayed_health import get_displayed_health
from credentials.models import Credential
from credentials.notifications.models import Incident
from events.admin import add_display_names
from events.models import Event
from providers.registry import get_registry

ROWS: Final = 5
EVENTS: Final = 8
PROVIDERS: Final = 10
SOON: Final = dt.timedelta(days=7)
_COLUMNS: Final = (
    "id", "name", "provider", "kind", "properties", "health", "expires_at", "account__name",
    "oauth_app__name", "oauth_app__revision", "oauth_app__refresh_pause__revision",
    "oauth_app__refresh_pause__pauses", "oauth_app__refresh_pause__rejected_at",
)  # fmt: skip


def build_context(request: HttpRequest) -> dict[str, Any]:
    """Return the parts of the page by name, without those that the user may not view."""
    context: dict[str, Any] = {}
    if request.user.has_perm("credentials.view_credential"):
        now = db_now()
        credentials = Credential.objects.all()
        broken = credentials.filter(health_status="error").order_by("-id")
        expiring = credentials.filter(expires_at__gte=now, expires_at__lt=now + SOON)
        context |= {
            "broken": {"rows": _build_rows(broken), "url": _build_list_url(health="error")},
            "expiring": {
                "rows": _build_rows(expiring.order_by("expires_at", "id")),
                "url": _build_list_url(expires="7"),
            },
            "list_url": _build_list_url(),
            "incidents": list(Incident.objects.filter(closed_at=None).order_by("id")[:ROWS]),
            **_build_figures(get_statistics()),
        }
    if request.user.has_perm("events.view_event"):
        events = add_display_names(Event.objects.order_by("-id")[:EVENTS])
        for event in events:
            event.ago = format_relative_time(event.time)  # type: ignore[attr-defined]
        context["events"] = events
    return context


def _build_list_url(**filters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return reverse("admin:credentials_credential_changelist") + (f"?{query}" if query else "")


def _build_rows(queryset: QuerySet[Credential]) -> list[dict[str, Any]]:
    related = queryset.select_related("account", "oauth_app__refresh_pause")
    rows = [(row, get_displayed_health(row)) for row in related.only(*_COLUMNS)[:ROWS]]
    return [
        {
            "title": str(row),
            "url": reverse("admin:credentials_credential_change", args=[row.pk]),
            "mark": _format_mark(row.provider),
            "account": row.account.name,
            "note": health["notes"][0] if health["notes"] else "",
            "since": format_relative_time(dt.datetime.fromisoformat(health["time"])),
            "expires": format_relative_time(row.expires_at),
            "badge": format_badge(health["status"]),
        }
        for row, health in rows
    ]


def _build_figures(figures: Figures | None) -> dict[str, Any]:
    if figures is None:
        return {"figures": None}
    start = dt.date.fromisoformat(figures.start)
    highest = max(figures.providers.values(), default=1)
    return {
        "figures": figures,
        "age": format_relative_time(figures.counted_at),
        "tiles": [
            {
                "status": status,
                "count": figures.health.get(status, 0),
                "url": _build_list_url(health=status),
            }
            for status in ("error", "warn", "unknown", "ok")
        ],
        "health_chart": charts.draw_health_bar(figures.health) if figures.total else None,
        "time_chart": charts.draw_line_chart(start, figures.weeks),
        "weeks": [
            (start + dt.timedelta(weeks=number), count)
            for number, count in enumerate(figures.weeks)
        ],
        "providers": [
            {
                "mark": _format_mark(slug),
                "count": count,
                "broken": figures.broken.get(slug, 0),
                "url": _build_list_url(provider=slug),
                "broken_url": _build_list_url(provider=slug, health="error"),
                "bar": charts.draw_share_bar(count, highest, figures.broken.get(slug, 0)),
            }
            for slug, count in list(figures.providers.items())[:PROVIDERS]
        ],
        "more_providers": max(len(figures.providers) - PROVIDERS, 0),
    }


def _format_mark(slug: str) -> SafeString:
    provider = get_registry().get_provider(slug)
    # Every custom slug resolves to the shared provider `custom`, whose name is not the service's.
    return format_provider(slug, provider.name if provider and provider.slug == slug else slug)
