"""The state machine: what a finding makes of a status. No tables, no clock, no input or output.

| finding    | what it means                                           | unknown | ok   | warn    | error   |
|-|-|-|-|-|-|
| works      | it was accepted                                         | ok      | ok   | ok      | ok      |
| expiring   | it was accepted, and will soon stop by itself           | warn    | warn | warn    | warn    |
| dead       | definitely refused, expired, or sealed shut             | error   | error | error  | error   |
| suspected  | somebody was refused; a probe decides                   | -       | -    | -       | -       |
| doubted    | somebody was refused, and nobody can be asked           | warn    | warn | -       | -       |
| unanswered | the provider gave no answer, as may happen              | warn    | -    | -       | -       |
| outage     | none for a minute, or for several of its credentials    | warn    | warn | -       | -       |
| ending     | it will soon stop by itself                             | warn    | warn | -       | -       |
| relieved   | what a warn or error rested on is gone, nothing is new  | -       | -    | unknown | unknown |
| app        | its OAuth app is at fault: the app's health says so     | -       | -    | -       | -       |
| unclear    | an answer that says nothing                             | -       | -    | -       | -       |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from common.datetimes import format_rfc3339

Status = Literal["unknown", "ok", "warn", "error"]
Finding = Literal[
    "works",
    "expiring",
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

MAX_NOTES: Final = 5
MAX_NOTE: Final = 300
RECOVERED: Final = "It works again."

_TO_OK: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "ok")
_TO_WARN: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "warn")
_TO_ERROR: Final[Mapping[str, Status]] = dict.fromkeys(("unknown", "ok", "warn", "error"), "error")
_WORSE_THAN_OK: Final[Mapping[str, Status]] = {"unknown": "warn", "ok": "warn"}

TRANSITIONS: Final[Mapping[Finding, Mapping[str, Status]]] = {
    "works": _TO_OK,
    "expiring": _TO_WARN,
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
"""The status after; a status that is not named stays."""


def apply_finding(
    health: Mapping[str, Any], finding: Finding, notes: list[str], now: Any
) -> dict[str, Any]:
    """The health that `finding` makes of `health`; `notes` are its reasons, the newest first.

    Another status starts its notes anew, as old ones would explain a status that is gone (the
    history has them). So does `works`: nothing of the past is wrong any more.
    """
    before = health["status"]
    status = TRANSITIONS[finding].get(before, before)
    kept: list[str] = [] if status != before or finding == "works" else list(health["notes"])
    if before in {"warn", "error"} and finding == "works":
        notes = [RECOVERED, *notes]
    return {"status": status, "notes": merge_notes(notes, kept), "time": format_rfc3339(now)}


def merge_notes(new: list[str], kept: list[str]) -> list[str]:
    """At most MAX_NOTES, newest first, each once and at most MAX_NOTE long, on one line."""
    lines = [" ".join(note.split())[:MAX_NOTE] for note in (*new, *kept)]
    return list(dict.fromkeys(filter(None, lines)))[:MAX_NOTES]
