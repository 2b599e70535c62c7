"""An event's fields and detail as a page shows them. Plain text: whoever renders it escapes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def format_change(changed: Sequence[str], detail: Any) -> str:
    """`secret: “A ticket”`, `GET /v1/charges/*: 200, 35 ms` or `name, metadata`; "" for neither."""
    return ": ".join(part for part in (", ".join(map(str, changed)), _detail(detail)) if part)


def _detail(detail: Any) -> str:
    match detail:
        case None:
            return ""
        case {"method": method, "path": path, "status": status, "ms": ms}:
            return f"{method} {path}: {status}, {ms} ms"
        case {"reason": reason}:
            return f"“{reason}”"
        case dict():
            return ", ".join(f"{name} {value}" for name, value in detail.items())
        case _:
            return str(detail)
