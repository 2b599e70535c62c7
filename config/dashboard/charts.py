"""Charts as SVG, drawn here: shapes and classes alone, so that the page needs no script and no style.

Colours come from the style sheet by class. Each drawing says in words what it shows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from common.health import STATUSES

WIDTH: Final = 640
HEIGHT: Final = 160
BAR: Final = 14
_LEFT: Final = 56
_BOTTOM: Final = 22


def draw_health_bar(counts: dict[str, int]) -> SafeString:
    """One bar, split by status; each part at least as wide as can be seen."""
    total = sum(counts.values())
    parts = []
    at = 0.0
    for status in ("error", "warn", "unknown", "ok"):
        count = counts.get(status, 0)
        if count:
            width = max(WIDTH * count / total, 4)
            parts.append((f"{at:.1f}", f"{width:.1f}", BAR, status))
            at += width
    shown = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="{}" class="lk-fill-{}"/>', parts
    )
    said = ", ".join(f"{counts.get(status, 0)} {status}" for status in STATUSES)
    return _svg(f"Credentials by health: {said}.", max(at, 1), BAR, shown, stretch=True)


def draw_share_bar(count: int, most: int, broken: int) -> SafeString:
    """A bar as long as `count` of `most`, its broken part first. The cells beside it have the numbers."""
    width, bad = WIDTH * count / most, WIDTH * broken / most
    return format_html(
        '<svg class="lk-chart lk-share" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="0" width="{}" height="{}" class="lk-fill-plain"/>'
        '<rect x="0" y="0" width="{}" height="{}" class="lk-fill-error"/></svg>',
        WIDTH,
        BAR,
        f"{max(width, 4):.1f}",
        BAR,
        f"{max(bad, 4 if broken else 0):.1f}",
        BAR,
    )


def draw_line_chart(start: dt.date, counts: Sequence[int]) -> SafeString:
    """A line over the weeks from `start`, with its top value and the months beneath."""
    top = round_up_axis(max(counts, default=0))
    right, floor = WIDTH - 8, HEIGHT - _BOTTOM
    step = (right - _LEFT) / max(len(counts) - 1, 1)
    points = [(_LEFT + step * n, floor - (floor - 10) * c / top) for n, c in enumerate(counts)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    body = format_html(
        "{}{}"
        '<polygon points="{},{} {} {},{}" class="lk-area"/><polyline points="{}" class="lk-line"/>'
        '<circle cx="{}" cy="{}" r="3.5" class="lk-dot"/>',
        _levels(top, right, floor),
        _months(start, len(counts), step),
        f"{_LEFT}", floor, line, f"{right}", floor, line,
        f"{points[-1][0]:.1f}", f"{points[-1][1]:.1f}",
    )  # fmt: skip
    said = f"Credentials over {len(counts)} weeks: from {counts[0]:,} to {counts[-1]:,}."
    return _svg(said, WIDTH, HEIGHT, body)


def round_up_axis(value: int) -> int:
    """The least of 4, 8, 20, 40, 80, 200 and so on that is not below `value`."""
    top = 4
    for factor in _growing():
        top = factor
        if top >= value:
            break
    return top


def _growing() -> Sequence[int]:
    return [first * 10**power for power in range(12) for first in (4, 8, 20)]


def _levels(top: int, right: float, floor: float) -> SafeString:
    rows = []
    for quarter in (0, 2, 4):
        y = floor - (floor - 10) * quarter / 4
        rows.append(
            (
                _LEFT,
                right,
                f"{y:.1f}",
                f"{y:.1f}",
                _LEFT - 8,
                f"{y + 4:.1f}",
                _short(top * quarter // 4),
            )
        )
    return format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}" class="lk-rule"/>'
        '<text x="{}" y="{}" text-anchor="end" class="lk-axis">{}</text>',
        rows,
    )


def _months(start: dt.date, weeks: int, step: float) -> SafeString:
    rows = []
    for week in range(1, weeks):
        monday = start + dt.timedelta(weeks=week)
        if monday.day <= 7:
            rows.append((f"{_LEFT + step * week:.1f}", HEIGHT - 6, f"{monday:%b}"))
    return format_html_join(
        "", '<text x="{}" y="{}" text-anchor="middle" class="lk-axis">{}</text>', rows
    )


def _short(count: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return str(count)


def _svg(
    said: str, width: float, height: int, body: SafeString, *, stretch: bool = False
) -> SafeString:
    return format_html(
        '<svg class="lk-chart" viewBox="0 0 {} {}" role="img" aria-label="{}"{}><title>{}</title>{}</svg>',
        f"{width:g}",
        height,
        said,
        SafeString(' preserveAspectRatio="none"') if stretch else "",
        said,
        body,
    )
