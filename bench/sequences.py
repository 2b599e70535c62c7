"""`tools/with-postgres python -m bench.sequences`: requests that make a kept plan the wrong one.

A statement that was prepared for one value runs for another that more rows, or fewer, match; old
rows match, or none; another account follows a large one. Each sequence is sent one by one to one
process, so that its statements meet on few connections.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import psycopg

from bench import environment

if TYPE_CHECKING:
    from bench.fill import Filled

REPEATED = 14
"""Five times without, then five with a prepared statement, and then PostgreSQL may keep its plan."""

OLD_SHARE = 25
"""One row in so many, all of them the oldest, is of the provider marketo and has the era "old"."""


class Step(NamedTuple):
    title: str
    token: str
    path: str
    times: int = 1


def main() -> None:
    filled = environment.filled(__doc__)
    skew(filled)
    measure(filled)


def skew(filled: Filled) -> None:
    """Make the oldest rows differ from all others, and give the account as many events as rows."""
    last = filled.id(filled.count // OLD_SHARE)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as direct:
        direct.execute(
            "UPDATE credentials_credential SET provider = 'marketo',"
            ' metadata = metadata || \'{"era": "old"}\' WHERE account_id = %s AND id <= %s',
            [filled.account_id, last],
        )
        direct.execute(
            "INSERT INTO events_event (id, account_id, verb, actor, target_type, target_id,"
            " changed, request_id, time) SELECT id, account_id, 'credential.created', 'bench',"
            " 'credential', id, '[]', '', created_at FROM credentials_credential"
            " WHERE account_id = %s",
            [filled.account_id],
        )
        direct.execute("VACUUM (ANALYZE)")


def measure(filled: Filled) -> None:
    """Print the time of the first, the median and the last request of each step."""
    from bench.listing import share_cursor_key
    from bench.servers import PRODUCT, serve

    share_cursor_key()
    with serve(PRODUCT) as served:
        print(f"\n{'':46}{'times':>6}{'first':>9}{'median':>9}{'last':>9}{'worst':>9}  ms")
        for steps in _sequences(filled):
            for step in steps:
                _print_step(served.port, step)
            print()
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


def _sequences(filled: Filled) -> Iterator[list[Step]]:
    small = _small_account()
    one = {"metadata": json.dumps({"customer_id": f"cus_{filled.count // 2:08}"})}
    team = {"metadata": json.dumps({"plan": "team"})}
    old = {"metadata": json.dumps({"era": "old"})}

    def step(title: str, times: int = 1, token: str = filled.token, **filters: str) -> Step:
        query = f"?{urlencode(filters)}" if filters else ""
        return Step(title, token, f"/v1/credentials{query}", times)

    def events(title: str, token: str, times: int = 1, **filters: str) -> Step:
        query = f"?{urlencode(filters)}" if filters else ""
        return Step(title, token, f"/v1/events{query}", times)

    yield [
        step("metadata, one row", REPEATED, **one),
        step("then metadata, 1 in 4", 4, **team),
        step("then metadata, all rows", 2, metadata="{}"),
        step("then the other account: metadata, none", 2, small, **team),
    ]
    yield [
        step("metadata, 1 in 4", REPEATED, **team),
        step("then metadata, one row", 6, **one),
        step("then metadata, only old rows", 2, **old),
    ]
    yield [
        step("provider, 2 in 10", REPEATED, provider="salesforce"),
        step("then provider, only old rows", 4, provider="marketo"),
        step("then provider, none", 2, provider="nobody"),
        step("then the other account: provider, none", 2, small, provider="salesforce"),
    ]
    yield [
        events("events of the large account", filled.token, REPEATED),
        events("then events of the small account", small, 4),
    ]
    yield [
        events(
            "events before a day, large account",
            filled.token,
            REPEATED,
            before="2100-01-01T00:00:00Z",
        ),
        events("then before 2020, small account", small, 4, before="2020-01-01T00:00:00Z"),
    ]
    yield [
        step("old rows: metadata", 4, **old),
        step("old rows: metadata, 2 keys", 4, metadata=json.dumps({"plan": "team", "era": "old"})),
        step("none: provider and old metadata", 4, provider="salesforce", **old),
        step(
            "none: provider and expiry",
            4,
            provider="stripe",
            expiring_before="2020-01-01T00:00:00Z",
        ),
        step("none: provider and kind", 4, provider="salesforce", kind="linear_oauth2"),
    ]


def _small_account() -> str:
    """Make an account with one credential and return its token."""
    from accounts.services import account_create, token_create
    from common.actors import get_command_actor
    from common.scopes import ALL
    from credentials.services import credential_import

    actor = get_command_actor("bench")
    account = account_create(name=f"Small {time.time_ns()}", actor=actor)
    properties = {"kind": "stripe_key", "secret": f"sk_test_{time.time_ns()}"}
    credential_import(account_id=account.id, actor=actor, body={"properties": properties})
    _, token = token_create(account_id=account.id, name="bench", scopes=ALL, actor=actor)
    return token


def _print_step(port: int, step: Step) -> None:
    times, statuses = [], set()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(step.times):
        started = time.perf_counter()
        client.request("GET", step.path, headers={"Authorization": f"Bearer {step.token}"})
        response = client.getresponse()
        response.read()
        times.append((time.perf_counter() - started) * 1000)
        statuses.add(response.status)
    client.close()
    shown = (times[0], sorted(times)[len(times) // 2], times[-1], max(times))
    errors = "".join(f"  {status}" for status in sorted(statuses - {200}))
    print(f"{step.title:46}{step.times:6}" + "".join(f"{ms:9.1f}" for ms in shown) + errors)


if __name__ == "__main__":
    main()
