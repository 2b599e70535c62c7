"""The health of a credential or an OAuth app, as it is stored and shown."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from common.datetimes import format_rfc3339

STATUSES: Final = ("unknown", "ok", "warn", "error")


def build_unknown_health(now: dt.datetime) -> dict[str, Any]:
    """`status` is one of STATUSES, `notes` plain sentences, `time` when that was found."""
    return {"status": "unknown", "notes": [], "time": format_rfc3339(now)}
