#!/usr/bin/env python3
"""Refresh grants while processes are killed and the database crashes, and count what is lost.

    .venv/bin/python -m tools.chaos [--grants 200] [--refreshes 10000] [--minutes 9]

Half of the grants are of a provider with a grace period for replaced tokens, the other half of a
strict one, which ends a grant whose replaced token is used again. The provider loses responses, fails
before and after it has issued tokens, and is slow for some grants. Web processes and workers are
killed with SIGKILL every few seconds; PostgreSQL is restarted as after a crash and fails over to its
standby. In the end each grant is refreshed once more. The exit code is 0 if no grant with a grace
was lost while another retry could have come within it, each loss is reported, no grant had two
requests at once, and no caller got an expired token. Use --mode to run with one provider, --help for
the rest.
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

from tools.fault_injection import chaos_report as report
from tools.fault_injection.callers import Callers
from tools.fault_injection.cleanup import handle_signals
from tools.fault_injection.cluster import Cluster
from tools.fault_injection.installation import ApiClient, Installation
from tools.fault_injection.ledger import Ledger
from tools.fault_injection.losses import Disturbances
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
    add("--lifetime", type=int, default=15, help="seconds of a token (default: %(default)s)")
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
        ledgers = self._connect_users(provider, installation.create_client())
        for number in range(options.workers):
            installation.start_worker(f"worker-{number}")
        self._started_at = time.monotonic()
        supervisor = Supervisor(installation, (options.kill_every / 2, options.kill_every * 1.5))
        crashes = DatabaseCrashes(
            cluster,
            installation,
            restarts=options.restarts,
            failovers=options.failovers,
            get_progress=lambda: self._get_progress(ledgers),
        )
        callers = [self._build_callers(ledger) for ledger in ledgers]
        disturbers: list[Supervisor | DatabaseCrashes | Callers | Ledger] = [
            supervisor,
            crashes,
            *callers,
            *ledgers,
        ]
        for each in disturbers:
            each.start()
        while self._get_progress(ledgers) < 1:
            time.sleep(1)
        seconds = time.monotonic() - self._started_at
        supervisor.stop_killing()
        for service in self._services:
            provider.change(service, faults={})
        # The supervisor goes on to start what was killed, until all outcomes are known.
        for each in disturbers[1:]:
            each.stop()
        if options.failovers:
            crashes.resume_grants()
        outcomes = {ledger.service: Counter(ledger.refresh_all().values()) for ledger in ledgers}
        supervisor.stop()
        report.print_disturbances(seconds, supervisor, crashes)
        report.print_callers(callers)
        print(f"provider responses left in spools: {installation.count_spool_files()}")
        disturbances = Disturbances(
            options.grace, supervisor.killed_at, [*supervisor.without_worker, *crashes.periods]
        )
        is_kept = report.print_grants(provider, ledgers, outcomes, disturbances)
        return is_kept and not any(caller.expired for caller in callers)

    def _connect_users(self, provider: ProviderProcess, client: ApiClient) -> list[Ledger]:
        """Return the ledgers of the services, each with its share of the grants."""
        share = self._options.grants // len(self._services)
        ledgers = [Ledger(provider, client, service) for service in self._services]
        for ledger in ledgers:
            ledger.connect([f"user{number}" for number in range(share)])
            # Some users are on a slow shard of the provider.
            slow = {f"user{number}.1": 5.0 for number in range(0, share, 20)}
            faults = build_faults(self._options)
            provider.change(ledger.service, faults=faults, delay=0.3, delay_of=slow)
        return ledgers

    def _build_callers(self, ledger: Ledger) -> Callers:
        options = self._options
        return Callers(
            ledger.client,
            ledger.credentials,
            count=max(options.callers // len(self._services), 1),
            pause=options.pause,
            is_alive=ledger.is_alive,
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
