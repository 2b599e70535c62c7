"""HTML of the values that admin pages display."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

MARK_COLOURS: Final = 8
EMPTY_VALUE: Final = SafeString('<span class="lk-none">–</span>')


def display_column(
    description: str, render: Callable[[Any], str], attribute: str | None = None
) -> Callable[[Any, Any], str]:
    """Return a method of a ModelAdmin that renders an attribute of a row, or the row itself.

    It stands in `list_display` or `readonly_fields` under the name that it is assigned to.
    """

    @admin.display(description=description)
    def column(model_admin: object, row: object) -> str:
        return render(getattr(row, attribute) if attribute else row)

    return column


def format_badge(status: str) -> SafeString:
    """Return `status` as a coloured badge."""
    return format_html('<span class="lk-badge lk-{}">{}</span>', status, status)


def format_health(health: dict[str, Any]) -> SafeString:
    """Return a health's status, how long it has lasted, and its notes."""
    notes = format_html_join("", "<li>{}</li>", ((note,) for note in health["notes"]))
    return format_html(
        '{} since {}<ul class="lk-notes">{}</ul>',
        format_badge(health["status"]),
        format_minute(dt.datetime.fromisoformat(health["time"])),
        notes,
    )


def format_json(value: object) -> SafeString:
    """Return `value` as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="lk-json">{}</pre>', text)


def format_minute(value: dt.datetime | None) -> SafeString:
    """Return `value` to the minute in UTC, with the second in a tooltip."""
    return _format_time(value, f"{value:%Y-%m-%d %H:%M}") if value else EMPTY_VALUE


def format_relative_time(value: dt.datetime | None) -> SafeString:
    """Return the distance of `value` from now in its largest unit, with the time in a tooltip."""
    if value is None:
        return EMPTY_VALUE
    now = timezone.now()
    if abs(value - now) < dt.timedelta(minutes=1):
        return _format_time(value, "just now" if value <= now else "in a moment")
    distance = timesince(min(value, now), max(value, now), depth=1)
    return _format_time(value, f"{distance} ago" if value <= now else f"in {distance}")


def format_provider(slug: str, name: str) -> SafeString:
    """Return a provider's name after a mark with its first letters, in the provider's colour."""
    # A checksum of the slug, so that a provider has the same colour on every page.
    colour = zlib.crc32(slug.encode()) % MARK_COLOURS
    return format_html(
        '<span class="lk-provider"><span class="lk-mark lk-mark-{}" aria-hidden="true">{}</span>{}</span>',
        colour,
        "".join(filter(str.isalnum, name))[:2],
        name,
    )


def _format_time(value: dt.datetime, text: str) -> SafeString:
    value = value.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        f"{value:%Y-%m-%dT%H:%M:%SZ}",
        f"{value:%Y-%m-%d %H:%M:%S}",
        text,
    )
