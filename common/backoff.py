"""Exponential back-off: the one formula for waiting longer after each failure."""

from __future__ import annotations

import datetime as dt
from typing import Final, TypeVar

Delay = TypeVar("Delay", float, dt.timedelta)

# 2 ** 20 seconds are twelve days: every schedule has reached its longest delay by then, and the
# product still fits into a timedelta.
_MAX_DOUBLINGS: Final = 20


def get_backoff(failures: int, *, first: Delay, longest: Delay) -> Delay:
    """Return the delay after `failures` consecutive failures: `first`, doubled up to `longest`.

    `first` and `longest` are both seconds or both timedeltas; `failures` is at least 1.
    """
    factor: int = 2 ** min(failures - 1, _MAX_DOUBLINGS)
    return min(first * factor, longest)
