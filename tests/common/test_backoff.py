"""Exponential back-off."""

from __future__ import annotations

import datetime as dt

import pytest

from common.backoff import get_backoff

MINUTE = dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10**9, 60)]
)
def test_each_failure_doubles_the_delay_up_to_the_longest(failures, minutes):
    assert get_backoff(failures, first=MINUTE, longest=60 * MINUTE) == minutes * MINUTE


def test_seconds_are_accepted_too():
    assert get_backoff(3, first=1.0, longest=300.0) == 4.0
