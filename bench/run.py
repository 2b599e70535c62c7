"""`tools/with-postgres python -m bench.run`: fill a database, then measure lists and imports on it."""

from __future__ import annotations

import argparse
import os

from bench import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=5, help="of a round (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--import-rows", type=int, default=20_000, help="of a round (default: %(default)s)"
    )
    parser.add_argument(
        "--refresh", type=int, metavar="GRANTS", help="refresh so many stale grants, and no more"
    )
    parser.add_argument("--proxy", action="store_true", help="the proxy, and no more")
    chosen = parser.parse_args()
    environment.prepare()

    from bench import importing, listing, proxying, refreshing, silence
    from bench.fill import fill, prepare
    from bench.report import verdict

    print(f"{os.cpu_count()} processors, PostgreSQL and the load generator on the same machine")
    if chosen.refresh:
        prepare()
        verdict(refreshing.measure(chosen.refresh))
        return
    if chosen.proxy:
        prepare()
        verdict(proxying.measure(chosen.seconds, chosen.rounds) + silence.measure())
        return
    filled = fill(chosen.rows)
    ratios = listing.measure(filled, chosen.seconds, chosen.rounds)
    ratios += importing.measure(filled, chosen.import_rows, chosen.rounds)
    ratios += proxying.measure(chosen.seconds, chosen.rounds) + silence.measure()
    verdict(ratios)


if __name__ == "__main__":
    main()
