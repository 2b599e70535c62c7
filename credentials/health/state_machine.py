"""The state machine of health: the status after a finding. No tables, no clock, no input or output.

| finding    | meaning                                                  | unknown | ok   | warn    | error   |
|-|-|-|-|-|-|
| works      | it was accepted                                          | ok      | ok   | ok      | ok      |
| expiring   | it was accepted, and will soon expire                    | warn    | warn | warn    | warn    |
| narrowed   | it was accepted, and has fewer scopes than before        | warn    | warn | warn    | warn    |
| dead       | definitely rejected, expired, or cannot be decrypted     | error   | error | error  | error   |
| suspected  | a request was rejected; a probe decides                  | -       | -    | -       | -       |
| doubted    | a request was rejected, and there is no probe            | warn    | warn | -       | -       |
| unanswered | the provider did not respond, as may happen              | warn    | -    | -       | -       |
| outage     | no response for a minute, or for several credentials     | warn    | warn | -       | -       |
| ending     | it will soon expire                                      | warn    | warn | -       | -       |
| relieved   | the cause of a warn or error is gone, nothing is new     | -       | -    | unknown | unknown |
| app        | the error is of its OAuth app, whose health displays it  | -       | -    | -       | -       |
| unclear    | a response that says nothing about it                    | -       | -    | -       | -       |
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal

from common.datetimes import format_rfc3339
from common.health import MAX_NOTES

Status = Literal["unknown", "ok", "warn", "error"]
Finding = Literal[
    "works",
    "expiring",
    "narrowed",
    "dead",
    "suspected",
    "doubted",
    "unanswered",
    "outage",
    "ending",
    "relieved",
    "app",
    "unclear",
]

MAX_NOTE: Final = 300
RECOVERED: Final = "It works again."

_TO_OK: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "ok")
_TO_WARN: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "warn")
_TO_ERROR: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "error")
_WORSE_THAN_OK: Final[Mapping[str, Status]] = {"unknown": "warn", "ok": "warn"}

TRANSITIONS: Final[Mapping[Finding, Mapping[str, Status]]] = {
    "works": _TO_OK,
    "expiring": _TO_WARN,
    "narrowed": _TO_WARN,
    "dead": _TO_ERROR,
    "suspected": {},
    "doubted": _WORSE_THAN_OK,
    "unanswered": {"unknown": "warn"},
    "outage": _WORSE_THAN_OK,
    "ending": _WORSE_THAN_OK,
    "relieved": {"warn": "unknown", "error": "unknown"},
    "app": {},
    "unclear": {},
}
"""The next status. A status that is missing here does not change."""


def apply_finding(
    health: Mapping[str, Any], finding: Finding, notes: list[str], now: dt.datetime
) -> dict[str, Any]:
    """Return the health after `finding`. `notes` are its reasons, the newest first."""
    before = health["status"]
    status = TRANSITIONS[finding].get(before, before)
    # Old notes would explain a status that is gone; the history has them.
    kept: list[str] = [] if status != before or finding == "works" else list(health["notes"])
    if before in {"warn", "error"} and finding == "works":
        notes = [RECOVERED, *notes]
    return {"status": status, "notes": merge_notes(notes, kept), "time": format_rfc3339(now)}


def merge_notes(new: list[str], kept: list[str]) -> list[str]:
    """Return at most MAX_NOTES notes, the newest first, each once, on one line of MAX_NOTE characters."""
    lines = [" ".join(note.split())[:MAX_NOTE] for note in (*new, *kept)]
    return list(dict.fromkeys(filter(None, lines)))[:MAX_NOTES]


def append_note(notes: list[str], note: str) -> list[str]:
    """Return the notes with one about the notification last: the deciding evidence stays first."""
    return merge_notes(notes[: MAX_NOTES - 1], [note])
