"""Charts as SVG: shapes with classes, so that the page needs neither a script nor inline styles.

The style sheet gives the colours by class. Each chart has a title that describes it in words.
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
    """Return one bar, split by status. Each part is wide enough to be visible."""
    total = sum(counts.values())
    parts = []
    x = 0.0
    for status in ("error", "warn", "unknown", "ok"):
        count = counts.get(status, 0)
        if count:
            width = max(WIDTH * count / total, 4)
            parts.append((f"{x:.1f}", f"{width:.1f}", BAR, status))
            x += width
    body = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="{}" class="lk-fill-{}"/>', parts
    )
    summary = ", ".join(f"{counts.get(status, 0)} {status}" for status in STATUSES)
    return _draw_svg(f"Credentials by health: {summary}.", max(x, 1), BAR, body, stretch=True)


def draw_share_bar(count: int, highest: int, broken: int) -> SafeString:
    """Return a bar that is `count` of `highest` long, with its broken part first."""
    width, broken_width = WIDTH * count / highest, WIDTH * broken / highest
    # Hidden from screen readers: the cells beside the bar have the numbers.
    return format_html(
        '<svg class="lk-chart lk-share" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="0" width="{}" height="{}" class="lk-fill-plain"/>'
        '<rect x="0" y="0" width="{}" height="{}" class="lk-fill-error"/></svg>',
        WIDTH,
        BAR,
        f"{max(width, 4):.1f}",
        BAR,
        f"{max(broken_width, 4 if broken else 0):.1f}",
        BAR,
    )


def draw_line_chart(start: dt.date, counts: Sequence[int]) -> SafeString:
    """Return a line over the weeks from `start`, with a scale and the months."""
    top = round_up_axis(max(counts, default=0))
    right, floor = WIDTH - 8, HEIGHT - _BOTTOM
    step = (right - _LEFT) / max(len(counts) - 1, 1)
    points = [(_LEFT + step * n, floor - (floor - 10) * c / top) for n, c in enumerate(counts)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    body = format_html(
        "{}{}"
        '<polygon points="{},{} {} {},{}" class="lk-area"/><polyline points="{}" class="lk-line"/>'
        '<circle cx="{}" cy="{}" r="3.5" class="lk-dot"/>',
        _draw_scale(top, right, floor),
        _draw_months(start, len(counts), step),
        f"{_LEFT}", floor, line, f"{right}", floor, line,
        f"{points[-1][0]:.1f}", f"{points[-1][1]:.1f}",
    )  # fmt: skip
    title = f"Credentials over {len(counts)} weeks: from {counts[0]:,} to {counts[-1]:,}."
    return _draw_svg(title, WIDTH, HEIGHT, body)


def round_up_axis(value: int) -> int:
    """Return the smallest of 4, 8, 20, 40, 80, 200 and so on that is not below `value`."""
    top = 4
    for top in (first * 10**power for power in range(12) for first in (4, 8, 20)):
        if top >= value:
            break
    return top


def _draw_scale(top: int, right: float, floor: float) -> SafeString:
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
                _abbreviate(top * quarter // 4),
            )
        )
    return format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}" class="lk-rule"/>'
        '<text x="{}" y="{}" text-anchor="end" class="lk-axis">{}</text>',
        rows,
    )


def _draw_months(start: dt.date, weeks: int, step: float) -> SafeString:
    rows = []
    for week in range(1, weeks):
        monday = start + dt.timedelta(weeks=week)
        if monday.day <= 7:
            rows.append((f"{_LEFT + step * week:.1f}", HEIGHT - 6, f"{monday:%b}"))
    return format_html_join(
        "", '<text x="{}" y="{}" text-anchor="middle" class="lk-axis">{}</text>', rows
    )


def _abbreviate(count: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return str(count)


def _draw_svg(
    title: str, width: float, height: int, body: SafeString, *, stretch: bool = False
) -> SafeString:
    return format_html(
        '<svg class="lk-chart" viewBox="0 0 {} {}" role="img" aria-label="{}"{}><title>{}</title>{}</svg>',
        f"{width:g}",
        height,
        title,
        SafeString(' preserveAspectRatio="none"') if stretch else "",
        title,
        body,
    )
