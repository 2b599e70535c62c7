"""Fingerprints of former secrets: which of them an import may bring back without any effect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from credentials.core.grant_state import (
    KEPT_FROM_PEOPLE,
    KEPT_FROM_REFRESHES,
    add_refreshed,
    add_rotated,
    start_history,
)

STEPS = st.lists(st.booleans(), max_size=60)


@given(STEPS)
def test_last_rotated_secrets_are_kept_however_often_it_is_refreshed(steps):
    history, supplied = start_history("0"), ["0"]
    for number, is_rotation in enumerate(steps, start=1):
        if is_rotation:
            history = add_rotated(history, str(number))
            supplied.append(str(number))
        else:
            history = add_refreshed(history, str(number))
        assert history[0] == str(number)
        assert history[1] == supplied[-1]
        assert set(supplied[-1 - KEPT_FROM_PEOPLE :]) <= set(history)
        assert len(history) <= 2 + KEPT_FROM_REFRESHES + KEPT_FROM_PEOPLE


@given(st.integers(0, 30))
def test_last_refreshed_secrets_are_kept(count):
    history = start_history("0")
    for number in range(1, count + 1):
        history = add_refreshed(history, str(number))
    assert set(map(str, range(max(count - KEPT_FROM_REFRESHES, 0), count + 1))) <= set(history)
    assert len(history) <= 2 + KEPT_FROM_REFRESHES


def test_return_to_former_secret_keeps_those_between():
    history = add_rotated(add_rotated(start_history("a"), "b"), "a")
    assert history[:2] == ["a", "a"]
    assert set(history) == {"a", "b"}


def test_field_without_history_starts_one():
    assert add_refreshed((), "a") == add_rotated((), "a") == ["a", "a"]
