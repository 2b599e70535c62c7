#!/usr/bin/env python3
"""Prove what docs/refresh.md promises, with real processes on PostgreSQL and real waits.

    .venv/bin/python -m tools.prove_refresh [SCENARIO ...] [--concurrent 3]

The scenarios are listed by --help. Each has a database, a provider and processes of its own; several
run at the same time. It prints each claim with what was expected and what was found. The exit code is
0 if all of them hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from bench.report import table
from tools.fault_injection.cleanup import handle_signals
from tools.fault_injection.cluster import Cluster
from tools.fault_injection.installation import Installation
from tools.fault_injection.scenarios import (
    killed_holders,
    pauses,
    rejected_apps,
    restored_backup,
    second_imports,
    silent_providers,
    slow_servers,
)
from tools.fault_injection.stage import Check, Stage


class Scenario(NamedTuple):
    """A function that proves something. `is_alone` if its times must not be disturbed."""

    prove: Callable[[Stage], list[Check]]
    is_alone: bool = False


SCENARIOS: Final = {
    "slow": Scenario(slow_servers.prove),
    "killed": Scenario(killed_holders.prove),
    "pauses": Scenario(pauses.prove),
    "secret": Scenario(rejected_apps.prove_secret),
    "dead": Scenario(rejected_apps.prove_dead_grant),
    "twice": Scenario(second_imports.prove),
    "restored": Scenario(restored_backup.prove),
    "silent": Scenario(silent_providers.prove, is_alone=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios and exit with 0 if every claim holds."""
    names = "\n".join(f"  {name:8} {one.prove.__doc__}" for name, one in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nScenarios:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--concurrent", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args(arguments)
    chosen = options.scenarios or list(SCENARIOS)
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    handle_signals()
    folder = Path(tempfile.mkdtemp(prefix="latchkey-proofs-"))
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; logs in {folder}")
    checks = run_scenarios(chosen, folder, options.concurrent)
    if not options.keep:
        shutil.rmtree(folder)
    broken = sum(not one.is_kept for one in checks)
    print(f"\n{len(checks) - broken} of {len(checks)} claims hold.")
    sys.exit(1 if broken else 0)


def run_scenarios(names: Sequence[str], folder: Path, concurrent: int) -> list[Check]:
    """Return the checks of all scenarios, which are printed as they end."""
    checks: list[Check] = []
    with Cluster() as cluster:
        (folder / "providers").mkdir()
        with Installation(
            folder, database_url=cluster.get_url(), providers=folder / "providers", allow=""
        ) as installation:
            installation.migrate()  # The stages copy this database.
        with ThreadPoolExecutor(concurrent) as pool:
            together = [name for name in names if not SCENARIOS[name].is_alone]
            for found in pool.map(lambda name: run_scenario(name, cluster, folder), together):
                checks += found
        for name in names:
            if SCENARIOS[name].is_alone:
                checks += run_scenario(name, cluster, folder)
    return checks


def run_scenario(name: str, cluster: Cluster, folder: Path) -> list[Check]:
    """Run one scenario and print its checks. An error counts as a broken claim."""
    start = time.monotonic()
    try:
        with Stage(name, cluster, folder) as stage:
            checks = SCENARIOS[name].prove(stage)
    except Exception as error:
        traceback.print_exc()
        checks = [Check(f"{name}: it ran to its end", "yes", str(error), False)]
    rows = [(one.claim, one.expected, one.actual, "" if one.is_kept else "NO") for one in checks]
    print(f"\n{name}: {time.monotonic() - start:.0f} s")
    table(("claim", "expected", "found", ""), rows)
    return checks


if __name__ == "__main__":
    main()
