"""The machine by itself: each status, each finding."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from credentials.health.state_machine import (
    MAX_NOTE,
    MAX_NOTES,
    RECOVERED,
    TRANSITIONS,
    apply_finding,
    merge_notes,
)

NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
TABLE = {
    "works": ("ok", "ok", "ok", "ok"),
    "expiring": ("warn", "warn", "warn", "warn"),
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


def health(status: str, *notes: str) -> dict[str, Any]:
    return {"status": status, "notes": list(notes), "time": "2026-11-20T00:00:00Z"}


@pytest.mark.parametrize(("finding", "before", "then"), STEPS)
def test_each_finding_makes_of_each_status(finding, before, then):
    assert apply_finding(health(before), finding, ["Why."], NOW)["status"] == then


def test_the_table_has_every_finding():
    assert set(TABLE) == set(TRANSITIONS)


def test_only_what_is_definite_makes_an_error():
    assert [name for name, after in TRANSITIONS.items() if "error" in after.values()] == ["dead"]


def test_the_time_is_that_of_the_last_evidence():
    assert apply_finding(health("ok"), "unclear", ["Why."], NOW)["time"] == "2026-11-21T09:30:00Z"


def test_another_status_starts_its_notes_anew():
    assert apply_finding(health("ok", "Old."), "dead", ["New."], NOW)["notes"] == ["New."]


def test_the_same_status_keeps_its_notes_newest_first():
    assert apply_finding(health("warn", "Old."), "outage", ["New."], NOW)["notes"] == [
        "New.",
        "Old.",
    ]


def test_what_works_has_no_old_trouble_in_its_notes():
    assert apply_finding(health("ok", "Trouble."), "works", ["Fine."], NOW)["notes"] == ["Fine."]


@pytest.mark.parametrize("before", ["warn", "error"])
def test_recovery_is_said(before):
    assert apply_finding(health(before), "works", ["Fine."], NOW)["notes"] == [RECOVERED, "Fine."]


def test_a_note_is_there_once():
    assert merge_notes(["a"], ["b", "a"]) == ["a", "b"]


def test_notes_are_bounded_in_number_length_and_lines():
    notes = merge_notes(["x" * 1000, "two\nlines", ""], [str(n) for n in range(20)])
    assert len(notes) == MAX_NOTES
    assert len(notes[0]) == MAX_NOTE
    assert notes[1] == "two lines"
