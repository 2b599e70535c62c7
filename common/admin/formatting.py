"""How the admin shows a value."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from typing import Any, Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

MARK_COLOURS: Final = 8
_A_MINUTE: Final = dt.timedelta(minutes=1)
EMPTY_VALUE: Final = SafeString('<span class="lk-none">–</span>')


def format_badge(status: str) -> SafeString:
    return format_html('<span class="lk-badge lk-{}">{}</span>', status, status)


def format_health(health: dict[str, Any]) -> SafeString:
    notes = format_html_join("", "<li>{}</li>", ((note,) for note in health["notes"]))
    return format_html(
        '{} since {}<ul class="lk-notes">{}</ul>',
        format_badge(health["status"]),
        format_minute(dt.datetime.fromisoformat(health["time"])),
        notes,
    )


def format_json(value: Any) -> SafeString:
    """JSON as people read it."""
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="lk-json">{}</pre>', shown)


def format_minute(value: dt.datetime | None) -> SafeString:
    """The minute, in UTC; the exact time where the pointer rests."""
    return _time(value, f"{value:%Y-%m-%d %H:%M}") if value else EMPTY_VALUE


def format_relative_time(value: dt.datetime | None) -> SafeString:
    """How far away it is, in the one greatest unit; the exact time where the pointer rests."""
    if value is None:
        return EMPTY_VALUE
    now = timezone.now()
    if abs(value - now) < _A_MINUTE:
        return _time(value, "just now" if value <= now else "in a moment")
    far = timesince(min(value, now), max(value, now), depth=1)
    return _time(value, f"{far} ago" if value <= now else f"in {far}")


def format_provider(slug: str, name: str) -> SafeString:
    """A provider's name behind its first letters, in a colour that is always its own."""
    colour = zlib.crc32(slug.encode()) % MARK_COLOURS
    return format_html(
        '<span class="lk-provider"><span class="lk-mark lk-mark-{}" aria-hidden="true">{}</span>{}</span>',
        colour,
        "".join(filter(str.isalnum, name))[:2],
        name,
    )


def _time(value: dt.datetime, shown: str) -> SafeString:
    value = value.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        f"{value:%Y-%m-%dT%H:%M:%SZ}",
        f"{value:%Y-%m-%d %H:%M:%S}",
        shown,
    )
