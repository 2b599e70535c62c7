#!/usr/bin/env python3
"""Refresh grants while processes are killed and the database crashes, and count what is lost.

    .venv/bin/python -m tools.chaos [--grants 200] [--refreshes 10000] [--minutes 9]

Half of the grants are of a provider with a grace period for replaced tokens, the other half of a
strict one, which ends a grant whose replaced token is used again. The provider loses responses, fails
before and after it has issued tokens, and is slow for some grants. Web processes and workers are
killed with SIGKILL every few seconds; PostgreSQL is restarted as after a crash and fails over to its
standby. In the end each grant is refreshed once more. The exit code is 0 if no grant with a grace
was lost, each loss of the strict ones is reported, no grant had two requests at once, and no caller
got an expired token. Use --mode to run with one provider, --help for the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import table
from tools.fault_injection.callers import Callers
from tools.fault_injection.cleanup import handle_signals
from tools.fault_injection.cluster import Cluster
from tools.fault_injection.installation import Installation
from tools.fault_injection.ledger import Ledger
from tools.fault_injection.provider_process import ProviderProcess
from tools.fault_injection.supervisor import DatabaseCrashes, Supervisor

MODES = {"grace": ["graceful"], "strict": ["strict"], "both": ["graceful", "strict"]}


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--mode", choices=list(MODES), default="both", help="which provider (default: %(default)s)")
    add("--grants", type=int, default=200, help="in total (default: %(default)s)")
    add("--refreshes", type=int, default=10_000, help="stop after these (default: %(default)s)")
    add("--minutes", type=float, default=9, help="or after this time (default: %(default)s)")
    add("--grace", type=int, default=30, help="seconds of the provider (default: %(default)s)")
    add("--lifetime", type=int, default=20, help="seconds of a token (default: %(default)s)")
    add("--web", type=int, default=2, help="web processes (default: %(default)s)")
    add("--workers", type=int, default=2, help="worker processes (default: %(default)s)")
    add("--callers", type=int, default=12, help="threads (default: %(default)s)")
    add("--pause", type=float, default=0.5, help="seconds between a caller's calls")
    add("--kill-every", type=float, default=5, help="seconds on average (default: %(default)s)")
    add("--restarts", type=int, default=2, help="of the database (default: %(default)s)")
    add("--failovers", type=int, default=2, help="of the database (default: %(default)s)")
    add("--asynchronous", action="store_true", help="a failover loses the last commits")
    add("--lost", type=float, default=0.05, help="share of lost responses (default: %(default)s)")
    add("--failed", type=float, default=0.05, help="share of failures before tokens are issued")
    add("--keep", action="store_true", help="keep the folder with the logs, and print it")
    return parser.parse_args(arguments)


class ChaosRun:
    """One run. `run` returns True if all that is promised was kept."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._services = MODES[options.mode]

    def run(self) -> bool:
        """Start everything, disturb it until enough was refreshed, and print the counts."""
        options = self._options
        with (
            Cluster(is_synchronous=not options.asynchronous) as cluster,
            ProviderProcess(self._folder / "providers") as provider,
        ):
            if options.failovers:
                cluster.add_standby()
            for service in self._services:
                grace = options.grace if service == "graceful" else 0
                provider.add_service(
                    service, states_grace=grace, grace=grace, lifetime=options.lifetime
                )
            with Installation(
                self._folder,
                database_url=cluster.get_url(),
                providers=provider.folder,
                allow=provider.allowed_targets,
            ) as installation:
                return self._run(cluster, provider, installation)

    def _run(self, cluster: Cluster, provider: ProviderProcess, installation: Installation) -> bool:
        options = self._options
        installation.migrate()
        for number in range(options.web):
            installation.start_server(f"web-{number}")
        client = installation.create_client()
        share = options.grants // len(self._services)
        ledgers = [Ledger(provider, client, service) for service in self._services]
        for ledger in ledgers:
            ledger.connect([f"user{number}" for number in range(share)])
            # Some users are on a slow shard of the provider.
            slow = {f"user{number}.1": 5.0 for number in range(0, share, 20)}
            provider.change(ledger.service, faults=build_faults(options), delay=0.05, delay_of=slow)
        for number in range(options.workers):
            installation.start_worker(f"worker-{number}")
        self._started_at = time.monotonic()
        supervisor = Supervisor(installation, (options.kill_every / 2, options.kill_every * 1.5))
        crashes = DatabaseCrashes(
            cluster,
            restarts=options.restarts,
            failovers=options.failovers,
            get_progress=lambda: self._get_progress(ledgers),
        )
        callers = [
            Callers(
                client,
                ledger.credentials,
                count=max(options.callers // len(ledgers), 1),
                pause=options.pause,
                is_alive=ledger.is_alive,
            )
            for ledger in ledgers
        ]
        supervisor.start()
        crashes.start()
        for caller in callers:
            caller.start()
        for ledger in ledgers:
            ledger.start_reconnecting()
        while self._get_progress(ledgers) < 1:
            time.sleep(1)
        seconds = time.monotonic() - self._started_at
        supervisor.stop_killing()
        crashes.stop()
        for service in self._services:
            provider.change(service, faults={})
        for caller in callers:
            caller.stop()
        for ledger in ledgers:
            ledger.stop_reconnecting()
        outcomes = {ledger.service: Counter(ledger.refresh_all().values()) for ledger in ledgers}
        supervisor.stop()
        print_disturbances(seconds, supervisor, crashes)
        print_callers(callers)
        print(f"provider responses left in spools: {installation.count_spool_files()}")
        return print_grants(provider, ledgers, outcomes) and not any(
            caller.expired for caller in callers
        )

    def _get_progress(self, ledgers: list[Ledger]) -> float:
        refreshes = sum(ledger.count()["granted"] for ledger in ledgers)
        seconds = time.monotonic() - self._started_at
        target, limit = self._options.refreshes, self._options.minutes * 60
        return float(max(refreshes / target, seconds / limit))


def build_faults(options: argparse.Namespace) -> dict[str, float]:
    """Return the probability of each fault of the provider."""
    lost, failed = options.lost, options.failed
    after = dict.fromkeys(("500_after", "reset_after", "half"), lost / 3)
    return {**after, **dict.fromkeys(("429", "500_before", "reset_before"), failed / 3)}


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
    provider: ProviderProcess, ledgers: list[Ledger], outcomes: dict[str, Counter[str]]
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
            print_losses(ledger, calls)
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
    if ledger.service == "graceful":
        is_kept = is_kept and not revoked and not ledger.reports
    return figures, is_kept


def print_losses(ledger: Ledger, calls: list[dict[str, Any]]) -> None:
    """Print the last requests of each grant that was lost although its provider has a grace."""
    for report in ledger.reports:
        own = [call for call in calls if call["grant"] == report.grant]
        print(f"lost: {report.grant} ({report.error})")
        for call in own[-8:]:
            print(
                f"    {call['started_at'] % 10_000:8.2f} to {call['ended_at'] % 10_000:8.2f}"
                f" {call['token']:30} {call['outcome']:9} {call['fault']}"
                f"{' lost' if call['is_lost'] else ''}"
            )


def main() -> None:
    options = read_arguments()
    handle_signals()
    folder = Path(tempfile.mkdtemp(prefix="latchkey-chaos-"))
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; logs in {folder}")
    is_good = ChaosRun(options, folder).run()
    if not options.keep:
        shutil.rmtree(folder)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
