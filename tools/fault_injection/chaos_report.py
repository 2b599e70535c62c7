"""The counts of a chaos run, and the promises that they are compared with."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bench.report import table
from tools.fault_injection.callers import Callers
from tools.fault_injection.ledger import Ledger
from tools.fault_injection.losses import Disturbances, Loss, find_losses
from tools.fault_injection.provider_process import ProviderProcess
from tools.fault_injection.supervisor import DatabaseCrashes, Supervisor


def print_disturbances(seconds: float, supervisor: Supervisor, crashes: DatabaseCrashes) -> None:
    """Print how often what was killed."""
    kills = ", ".join(f"{count} {name}" for name, count in sorted(supervisor.kills.items()))
    away = ", ".join(f"{name} {took:.1f} s" for name, took in crashes.seconds) or "none"
    print(f"\n{seconds:.0f} s; killed: {kills or 'none'}; database: {away}")


def print_callers(callers: list[Callers]) -> None:
    """Print what the callers of /token got."""
    results = sum((caller.results for caller in callers), Counter[str]())
    for name, count in results.most_common():
        print(f"  {count:6,} {name}")
    print(
        f"expired tokens: {sum(caller.expired for caller in callers)}, tokens that the provider had"
        f" ended: {sum(caller.rejected for caller in callers)}, longest call:"
        f" {max(caller.longest for caller in callers):.1f} s\n"
    )


def print_grants(
    provider: ProviderProcess,
    ledgers: list[Ledger],
    outcomes: dict[str, Counter[str]],
    disturbances: Disturbances,
) -> bool:
    """Print the table of the grants. Return False if one was lost that should not have been."""
    rows: list[list[str]] = []
    is_good = True
    for ledger in ledgers:
        calls = provider.list_calls(ledger.service)
        figures, is_kept = summarize(ledger, calls, outcomes[ledger.service])
        is_good = is_good and is_kept
        rows = rows or [[name] for name in figures]
        for row, value in zip(rows, figures.values(), strict=True):
            row.append(value)
        for report in ledger.list_wrong_reports():
            print(f"ended without a loss: {report}")
        if ledger.service == "graceful":
            is_good = print_losses(find_losses(ledger, calls, disturbances)) and is_good
    table(["", *(ledger.service for ledger in ledgers)], rows)
    print("\nAll that is promised was kept." if is_good else "\nA promise was broken: see above.")
    return is_good


def summarize(
    ledger: Ledger, calls: list[dict[str, Any]], outcome: Counter[str]
) -> tuple[dict[str, str], bool]:
    """Return the figures of one service, and False if a grant was lost that should not have been."""
    issued = [call for call in calls if call["outcome"] in {"granted", "replayed"}]
    at_once = max((call["concurrent"] for call in calls), default=0)
    lost = [call for call in issued if call["is_lost"]]
    reports = Counter(report.error for report in ledger.reports)
    bad_health = [one for one in ledger.reports if one.health != "error" or not one.note]
    wrong = ledger.list_wrong_reports()
    silent = len(ledger.credentials) - outcome["alive"] - outcome["reported"] - outcome["in doubt"]
    revoked = ledger.count()["revoked"]
    unreported = set(revoked) - {one.grant for one in ledger.reports}
    figures = {
        "grants": f"{len(ledger.credentials):,}",
        "token requests": f"{len(calls):,}",
        "refreshes": f"{len(issued):,}",
        "responses lost by the provider": f"{sum(bool(call['fault']) for call in lost):,}",
        "responses lost because their client was killed": (
            f"{sum(not call['fault'] for call in lost):,}"
        ),
        "requests at once for one grant, at most": str(at_once),
        "replaced tokens used within the grace": (
            f"{sum(call['outcome'] == 'replayed' for call in calls):,}"
        ),
        "replaced tokens used after it": f"{sum(call['outcome'] == 'reused' for call in calls):,}",
        "grants that the provider ended": f"{len(revoked):,}",
        "... of these reported": f"{len(set(revoked) - unreported):,}",
        "... silent": f"{len(unreported):,}",
        "reports by reason": ", ".join(f"{n} {error}" for error, n in reports.items()) or "none",
        "reports without a loss": str(len(wrong)),
        "reports without error in health": str(len(bad_health)),
        "in the end: alive": f"{outcome['alive']:,}",
        "in the end: reported": f"{outcome['reported']:,}",
        "in the end: in doubt, with a note": f"{outcome['in doubt']:,}",
        "in the end: anything else": ", ".join(
            f"{count} {name}"
            for name, count in outcome.items()
            if name not in {"alive", "reported", "in doubt"}
        )
        or "0",
    }
    is_kept = not (silent or unreported or wrong or bad_health) and at_once == 1
    return figures, is_kept


def print_losses(losses: list[Loss]) -> bool:
    """Print each grant that was lost although its provider has a grace. Return False if a try was left."""
    for loss in losses:
        print(f"lost: {loss.report.grant}: {loss.reason or 'each try was lost'}")
        first = loss.calls[0]["started_at"]
        for call in loss.calls:
            print(
                f"    {call['started_at'] - first:6.2f} to {call['ended_at'] - first:6.2f} s"
                f" {call['outcome']:9} {call['fault']}{' lost' if call['is_lost'] else ''}"
            )
    tries = sum(len(loss.tries) for loss in losses)
    killed = sum(loss.killed for loss in losses)
    left = sum(bool(loss.reason) for loss in losses)
    print(
        f"lost within a grace: {len(losses)}, after {tries} requests whose responses were lost:"
        f" {killed} with their process, {tries - killed} by the provider\n"
        f"lost though a try was left: {left}\n"
    )
    return not left
