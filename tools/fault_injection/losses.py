"""Grants that were lost although their provider has a grace, and if a retry could still have come.

A retry is lost if its process is killed, or if the provider loses its response too. Latchkey promises
the next one in time: `find_losses` says for each loss if it kept that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from tools.fault_injection.ledger import Ledger, Report

# The same as in credentials/refresh/schedule.py, which needs Django's settings.
GRACE_MARGIN: Final = 5
SHORTEST_GRACE_LEASE: Final = 8
LAST_GRACE_LEASE: Final = 5

_SLACK: Final = 4.0
"""Seconds in which a worker on a busy machine finds a grant that is due, and sends the request."""

_STORED_WITHIN: Final = 3.0
"""Seconds in which a response that has arrived is stored, if its process lives."""

Call = dict[str, Any]
Period = tuple[float, float]
"""Start and end, in seconds of the system's clock."""


class Loss(NamedTuple):
    """A grant that ended. `reason` says why a try was left, and is empty if none was."""

    report: Report
    calls: list[Call]
    """All requests of the refresh token that was used too late."""
    tries: list[Call]
    """Those for which the provider issued tokens: the first one, and the others within the grace."""
    reason: str

    @property
    def killed(self) -> int:
        """The number of tries whose response was not lost by the provider, but with its process."""
        return sum(not call["fault"] for call in self.tries)


class Disturbances(NamedTuple):
    """The course of a run. `kills` are the times at which a process was killed, in seconds.

    `outages` are the periods in which no worker ran or the database was down. `grace` is in seconds.
    """

    grace: float
    kills: Sequence[float]
    outages: Sequence[Period]


def find_losses(ledger: Ledger, calls: Sequence[Call], disturbances: Disturbances) -> list[Loss]:
    """Return the grants that ended because a replaced token was used after the grace."""
    losses = []
    for report in ledger.reports:
        own = [call for call in calls if call["grant"] == report.grant]
        reused = next((call for call in own if call["outcome"] == "reused"), None)
        if reused is None:
            continue
        own = [call for call in own if call["token"] == reused["token"]]
        tries = [call for call in own if call["outcome"] in {"granted", "replayed"}]
        losses.append(Loss(report, own, tries, find_missed_try(own, disturbances)))
    return losses


def find_missed_try(calls: Sequence[Call], disturbances: Disturbances) -> str:
    """Return why one more try could have come within the grace, "" if it could not.

    `calls` are the requests of one refresh token, in order.
    """
    first = next((call["started_at"] for call in calls if call["outcome"] == "granted"), None)
    if first is None:
        return "no request had been granted"
    end = first + disturbances.grace
    calls = [call for call in calls if first <= call["started_at"] <= end]
    for call in calls:
        has_arrived = call["outcome"] in {"granted", "replayed"} and not call["is_lost"]
        if has_arrived and not _has_kill(call, disturbances.kills):
            return f"the response of {call['ended_at'] - first:.1f} s arrived and was not stored"
    starts = [*(call["started_at"] for call in calls), end]
    for call, (_, following) in zip(calls, pairwise(starts), strict=True):
        expected = _get_next_try(call, first, disturbances.grace)
        expected += _get_overlap((call["started_at"], following), disturbances.outages)
        if expected < following:
            return (
                f"after {following - first:.1f} s, when it could have come {expected - first:.1f} s"
            )
    return ""


def _get_next_try(call: Call, first: float, grace: float) -> float:
    """Return when the try after this one has begun at the latest, on a machine without outages."""
    deadline = max(first + grace - GRACE_MARGIN, call["ended_at"] + LAST_GRACE_LEASE)
    return float(min(call["ended_at"] + SHORTEST_GRACE_LEASE, deadline) + _SLACK)


def _has_kill(call: Call, kills: Iterable[float]) -> bool:
    """Return True if a process was killed that may have had this response, before it stored it."""
    return any(call["started_at"] <= at <= call["ended_at"] + _STORED_WITHIN for at in kills)


def _get_overlap(period: Period, others: Iterable[Period]) -> float:
    start, end = period
    return sum(max(min(end, until) - max(start, since), 0.0) for since, until in others)
