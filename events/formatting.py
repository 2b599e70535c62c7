"""Events as text for pages. The text is plain: templates escape it."""

from __future__ import annotations

from collections.abc import Sequence


def format_change(changed: Sequence[str], detail: object) -> str:
    """Return an event's changed fields and detail as text, or "" if it has neither.

    For example `name, metadata`, `secret: “A ticket”` or `GET /v1/charges/*: 200, 35 ms`.
    """
    match detail:
        case None:
            text = ""
        case {"method": method, "path": path, "status": status, "ms": ms}:
            text = f"{method} {path}: {status}, {ms} ms"
        case {"reason": reason}:
            text = f"“{reason}”"
        case dict():
            text = ", ".join(f"{name} {value}" for name, value in detail.items())
        case _:
            text = str(detail)
    return ": ".join(part for part in (", ".join(map(str, changed)), text) if part)
