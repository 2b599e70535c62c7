"""The state machine: every status and every finding."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from common.health import MAX_NOTES
from credentials.health.state_machine import (
    MAX_NOTE,
    RECOVERED,
    TRANSITIONS,
    apply_finding,
    merge_notes,
)

NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
TABLE = {
    "works": ("ok", "ok", "ok", "ok"),
    "expiring": ("warn", "warn", "warn", "warn"),
    "narrowed": ("warn", "warn", "warn", "warn"),
    "dead": ("error", "error", "error", "error"),
    "suspected": ("unknown", "ok", "warn", "error"),
    "doubted": ("warn", "warn", "warn", "error"),
    "unanswered": ("warn", "ok", "warn", "error"),
    "outage": ("warn", "warn", "warn", "error"),
    "ending": ("warn", "warn", "warn", "error"),
    "relieved": ("unknown", "ok", "unknown", "unknown"),
    "app": ("unknown", "ok", "warn", "error"),
    "unclear": ("unknown", "ok", "warn", "error"),
}
STEPS = [
    (finding, before, then)
    for finding, row in TABLE.items()
    for before, then in zip(("unknown", "ok", "warn", "error"), row, strict=True)
]


def make_health(status: str, *notes: str) -> dict[str, Any]:
    return {"status": status, "notes": list(notes), "time": "2026-11-20T00:00:00Z"}


@pytest.mark.parametrize(("finding", "before", "then"), STEPS)
def test_transition_of_each_finding_and_status(finding, before, then):
    assert apply_finding(make_health(before), finding, ["Why."], NOW)["status"] == then


def test_table_has_every_finding():
    assert set(TABLE) == set(TRANSITIONS)


def test_only_definite_findings_set_error():
    assert [name for name, after in TRANSITIONS.items() if "error" in after.values()] == ["dead"]


def test_time_is_of_last_evidence():
    assert (
        apply_finding(make_health("ok"), "unclear", ["Why."], NOW)["time"] == "2026-11-21T09:30:00Z"
    )


def test_new_status_resets_notes():
    assert apply_finding(make_health("ok", "Old."), "dead", ["New."], NOW)["notes"] == ["New."]


def test_same_status_keeps_notes_newest_first():
    assert apply_finding(make_health("warn", "Old."), "outage", ["New."], NOW)["notes"] == [
        "New.",
        "Old.",
    ]


def test_working_credential_has_no_old_notes():
    assert apply_finding(make_health("ok", "Trouble."), "works", ["Fine."], NOW)["notes"] == [
        "Fine."
    ]


@pytest.mark.parametrize("before", ["warn", "error"])
def test_recovery_is_noted(before):
    assert apply_finding(make_health(before), "works", ["Fine."], NOW)["notes"] == [
        RECOVERED,
        "Fine.",
    ]


def test_notes_are_unique():
    assert merge_notes(["a"], ["b", "a"]) == ["a", "b"]


def test_notes_are_limited_in_number_length_and_lines():
    notes = merge_notes(["x" * 1000, "two\nlines", ""], [str(n) for n in range(20)])
    assert len(notes) == MAX_NOTES
    assert len(notes[0]) == MAX_NOTE
    assert notes[1] == "two lines"
