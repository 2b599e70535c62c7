"""Bulk import: `import_lines` against COPY and upsert of the same rows, sealed before."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import psycopg

from bench.bodies import body
from bench.fill import Filled
from bench.report import Ratio, table
from bench.rows import copy_in, sealed_row
from credentials.core.columns import TABLE
from credentials.imports.row_writes import COLUMNS, build_row_values

SHARE = 0.3
_NAMES = ", ".join(COLUMNS)
_KEPT = {"id", "account_id", "identity", "created_at"}
_UPSERT = (
    f"INSERT INTO {TABLE} ({_NAMES}) SELECT {_NAMES} FROM given"
    " ON CONFLICT (account_id, identity) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEPT)
)
Bodies = Sequence[dict[str, Any]]


def measure(filled: Filled, count: int, rounds: int) -> list[Ratio]:
    """Print the rows per second of both; the ratios with their target."""
    from common.db.ids import uuid7

    taken: dict[str, list[float]] = {}
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as direct:
        for number in range(rounds + 1):
            before = uuid7()
            numbers = range(filled.count + number * count, filled.count + (number + 1) * count)
            new = [body(at, filled.apps) for at in numbers]
            changed = [body(at, filled.apps, plan="changed") for at in numbers]
            found = _product(filled, new, changed)
            _clean(direct, filled, before)
            found |= _floor(direct, filled, new, changed)
            _clean(direct, filled, before)
            for name, seconds in found.items() if number else ():  # The first is the warm-up.
                taken.setdefault(name, []).append(seconds)
    rate = {name: count / statistics.median(each) for name, each in taken.items()}
    print(f"\nImport of {count:,} rows into {filled.count:,}, medians of {rounds} rounds")
    table(
        ("", "import, rows/s", "COPY and upsert, rows/s", "ratio"),
        [
            (what, f"{rate[what]:,.0f}", f"{rate[base]:,.0f}", f"{rate[what] / rate[base]:.2f}")
            for what, base in _BASES.items()
        ],
    )
    return [
        Ratio(f"import, {what} / COPY and upsert", rate[what] / rate[_BASES[what]], SHARE)
        for what in ("created", "updated")
    ]


_BASES = {"created": "rows created", "updated": "rows updated", "unchanged": "rows updated"}


def _product(filled: Filled, new: Bodies, changed: Bodies) -> dict[str, float]:
    """Seconds to import NDJSON that creates, that leaves all unchanged, and that updates."""
    from common.actors import get_command_actor
    from credentials.imports.batch import import_lines
    from credentials.imports.readers import read_ndjson

    found = {}
    for what, bodies in (("created", new), ("unchanged", new), ("updated", changed)):
        lines = [orjson.dumps(each) + b"\n" for each in bodies]
        start = time.perf_counter()
        report = import_lines(
            read_ndjson(lines), account_id=filled.account_id, actor=get_command_actor("bench")
        )
        found[what] = time.perf_counter() - start
        if getattr(report, what) != len(bodies):
            raise SystemExit(f"bench: not all lines were {what}: {report.to_dict()}")
    return found


def _floor(
    direct: psycopg.Connection[Any], filled: Filled, new: Bodies, changed: Bodies
) -> dict[str, float]:
    """Seconds to COPY the rows into a temporary table and to upsert them from there."""
    from common.db.clock import db_now
    from common.db.ids import uuid7

    ids = [uuid7() for _ in new]
    found = {}
    for what, bodies in (("rows created", new), ("rows updated", changed)):
        created_at = db_now()
        rows = [
            sealed_row(each, filled.account_id, id=id, created_at=created_at)
            for id, each in zip(ids, bodies, strict=True)
        ]
        rows.sort(key=lambda write: write.row.identity)  # As the import writes them.
        # The floor is one table.
        ready = [
            build_row_values(
                replace(write, row=write.row._replace(grant_id=None)), filled.account_id, created_at
            )
            for write in rows
        ]
        start = time.perf_counter()
        with direct.transaction():
            direct.execute(
                f"CREATE TEMP TABLE given ON COMMIT DROP AS SELECT {_NAMES} FROM {TABLE}"
                " WITH NO DATA"
            )
            copy_in(direct, "given", ready)
            direct.execute(_UPSERT)
        found[what] = time.perf_counter() - start
    return found


def _clean(direct: psycopg.Connection[Any], filled: Filled, before: uuid.UUID) -> None:
    """Take out what was put in since `before`, and leave no dead rows to the next."""
    direct.execute(
        "DELETE FROM credentials_knownrefreshtoken WHERE account_id = %s AND credential_id > %s",
        [filled.account_id, before],
    )
    direct.execute(
        f"DELETE FROM {TABLE} WHERE account_id = %s AND id > %s", [filled.account_id, before]
    )
    direct.execute(
        "DELETE FROM credentials_grant WHERE account_id = %s AND id > %s",
        [filled.account_id, before],
    )
    direct.execute("DELETE FROM events_event WHERE account_id = %s", [filled.account_id])
    direct.execute(f"VACUUM {TABLE}, events_event")
