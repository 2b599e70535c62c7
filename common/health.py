"""The health of a credential or an OAuth app, as it is stored and displayed."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from common.datetimes import format_rfc3339

STATUSES: Final = ("unknown", "ok", "warn", "error")
MAX_NOTES: Final = 5


def build_unknown_health(now: dt.datetime) -> dict[str, Any]:
    """Return the health of a new row.

    `status` is one of STATUSES, `notes` are sentences, `time` is that of the last evidence.
    """
    return {"status": "unknown", "notes": [], "time": format_rfc3339(now)}
