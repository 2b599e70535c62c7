"""How the admin shows a value."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


def badge(status: str) -> SafeString:
    return format_html('<span class="lk-badge lk-{}">{}</span>', status, status)


def health_report(health: dict[str, Any]) -> SafeString:
    notes = format_html_join("", "<li>{}</li>", ((note,) for note in health["notes"]))
    return format_html(
        '{} at {} UTC<ul class="lk-notes">{}</ul>',
        badge(health["status"]),
        moment(dt.datetime.fromisoformat(health["time"])),
        notes,
    )


def pretty(value: Any) -> SafeString:
    """JSON as people read it."""
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="lk-json">{}</pre>', shown)


def moment(value: dt.datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if value else "-"
