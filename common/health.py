"""The health of a credential or an OAuth app, as it is stored and shown."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from common.datetimes import iso

STATUSES: Final = ("unknown", "ok", "warn", "error")


def unknown(now: dt.datetime) -> dict[str, Any]:
    """`status` is one of STATUSES, `notes` plain sentences, `time` when that was found."""
    return {"status": "unknown", "notes": [], "time": iso(now)}
