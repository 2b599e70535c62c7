"""Lists: the product against the floor and the bare Django view, and its own filters side by side."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from urllib.parse import urlencode

from bench import page
from bench.environment import CURSOR_KEY
from bench.fill import Filled
from bench.load import CONNECTIONS, Round, load, median, tool
from bench.report import Ratio, table
from bench.servers import APPLICATIONS, FLOOR, PRODUCT, VIEW, Served, fetch, serve
from config.env import REQUEST_SLOTS

FLOOR_SHARE = 0.3
VIEW_SHARE = 0.65
DEEP_PAGE = 10_000


def measure(filled: Filled, seconds: float, rounds: int) -> list[Ratio]:
    """Print both tables; the ratios with their targets."""
    share_cursor_key()
    with contextlib.ExitStack() as running:
        served = {name: running.enter_context(serve(name)) for name in APPLICATIONS}
        _check_same(served, filled.token)
        print(
            f"\nA page of {page.LIMIT} of {filled.count:,}: {CONNECTIONS} connections by {tool()},"
            f" one process, {REQUEST_SLOTS} requests at once, medians of {rounds} rounds of {seconds:g} s"
        )
        found = _interleaved(
            {name: (one, page.PATH) for name, one in served.items()}, filled.token, seconds, rounds
        )
        _print(found, FLOOR)
        print("\nOther reads of Latchkey, against its first page")
        targets = {name: (served[PRODUCT], target) for name, target in reads(filled).items()}
        _print(_interleaved(targets, filled.token, seconds, rounds), FIRST_PAGE)
    rate = {name: one.per_second for name, one in found.items()}
    return [
        Ratio("list / floor", rate[PRODUCT] / rate[FLOOR], FLOOR_SHARE),
        Ratio("list / bare Django view", rate[PRODUCT] / rate[VIEW], VIEW_SHARE),
    ]


FIRST_PAGE = "first page"


def reads(filled: Filled) -> dict[str, str]:
    """Return the targets that are printed in addition to the first page."""
    middle = filled.count // 2
    skipped = min((DEEP_PAGE - 1) * page.LIMIT, middle)
    deep = page.cursor(filled.account_id, filled.id(filled.count - skipped))
    return {
        FIRST_PAGE: page.PATH,
        "provider=salesforce": _filtered(provider="salesforce"),
        "provider=airtable (1 in 1,000)": _filtered(provider="airtable"),
        "metadata, 1 in 4": _filtered(metadata=json.dumps({"plan": "team"})),
        "metadata, one row": _filtered(metadata=json.dumps({"customer_id": f"cus_{middle:08}"})),
        f"page {skipped // page.LIMIT + 1:,} by cursor": _filtered(cursor=deep),
        "one credential": f"{page.PATH}/{filled.id(middle)}",
    }


def share_cursor_key() -> None:
    """Let the bare applications make the cursors that the product makes."""
    from vault.services import get_signing_key

    key = get_signing_key("cursor")
    os.environ[CURSOR_KEY] = key.hex()
    page.use_key(key)


def _filtered(**parameters: str) -> str:
    return f"{page.PATH}?{urlencode(parameters)}"


def _check_same(served: Mapping[str, Served], token: str) -> None:
    bodies = {name: fetch(one, page.PATH, token) for name, one in served.items()}
    if len(set(bodies.values())) != 1:
        sys.exit("bench: the three do not return the same bytes, so nothing was measured")
    (body,) = set(bodies.values())
    print(f"All three return the same {len(body):,} bytes.")


def _interleaved(
    targets: Mapping[str, tuple[Served, str]], token: str, seconds: float, rounds: int
) -> dict[str, Round]:
    """Medians. Each round measures all, one after the other: what disturbs one disturbs all."""
    found: dict[str, list[Round]] = {name: [] for name in targets}
    for served, target in targets.values():
        load(served, target, token, 1)  # Warm-up.
    for _ in range(rounds):
        for name, (served, target) in targets.items():
            found[name].append(load(served, target, token, seconds))
    return {name: median(rounds_of) for name, rounds_of in found.items()}


def _print(found: Mapping[str, Round], base: str) -> None:
    table(
        ("", "requests/s", "p50 ms", "p99 ms", "CPU ms", f"of {base}"),
        [
            (
                name,
                f"{one.per_second:,.0f}",
                f"{one.p50_ms:.1f}",
                f"{one.p99_ms:.1f}",
                f"{one.cpu_ms:.2f}",
                f"{one.per_second / found[base].per_second:.2f}",
            )
            for name, one in found.items()
        ],
    )
