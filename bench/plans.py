"""`tools/with-postgres python -m bench.plans`: the plan of each list filter, as Markdown."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench import environment

if TYPE_CHECKING:
    from bench.fill import Filled

LIMIT = 50


def main() -> None:
    show(environment.filled(__doc__))


def show(filled: Filled) -> None:
    """Print the plan of one page for each filter. It runs twice, and the second run is shown."""
    for name, parameters, after in _cases(filled):
        print(f"\n### {name}\n\n```text\n{_plan(filled, parameters, after)}\n```")


def _cases(filled: Filled) -> Iterator[tuple[str, dict[str, str], int | None]]:
    """Yield titles, query parameters, and the number of the row that the page comes after."""
    last, middle = filled.count - 1, filled.count // 2
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)  # When the first of bench.bodies expires.
    yield "no filter", {}, None
    yield "no filter, page 10,000", {}, middle
    yield "provider, 2 in 10", {"provider": "salesforce"}, None
    yield "provider, 1 in 1,000", {"provider": "airtable"}, None
    yield "provider, none", {"provider": "nobody"}, None
    yield "kind, 1 in 10", {"kind": "linear_oauth2"}, None
    yield "health.status, 1 in 1,000", {"health.status": "error"}, None
    yield "metadata, 1 in 4", {"metadata": json.dumps({"plan": "team"})}, None
    yield "metadata, 1 in 53", {"metadata": json.dumps({"tags": ["cohort-7"]})}, None
    yield "metadata, one row", {"metadata": json.dumps({"customer_id": f"cus_{middle:08}"})}, None
    yield "metadata, none", {"metadata": json.dumps({"customer_id": "nobody"})}, None
    yield "oauth_app_id, 1 in 10", {"oauth_app_id": str(filled.apps["linear"])}, None
    soon = noon + dt.timedelta(minutes=50)
    yield "expiring_before, 1 in 20,000", {"expiring_before": soon.isoformat()}, None
    later = noon + dt.timedelta(days=170)
    yield "expiring_before, 1 in 4", {"expiring_before": later.isoformat()}, None
    for share, number in (("the newest 1,000", last - 1000), ("all but 1,000", 1000)):
        yield f"created_after, {share}", {"created_after": _iso(filled, number)}, None
    for share, number in (("the oldest 1,000", 1000), ("all but 1,000", last - 1000)):
        yield f"created_before, {share}", {"created_before": _iso(filled, number)}, None
    hour = {
        "created_after": _iso(filled, middle),
        "created_before": _iso(filled, middle + 100),
    }
    yield "created_after and created_before, 100 rows in the middle", hour, None
    both = {"provider": "stripe", "health.status": "error"}
    yield "provider, 3 in 10, and health.status, 1 in 1,000", both, None


def _iso(filled: Filled, number: int) -> str:
    return filled.get_created_at(number).isoformat()


def _plan(filled: Filled, parameters: dict[str, str], after: int | None) -> str:
    from django.db import connection

    from bench.combinations import FilterRequest
    from common.db.planner import LIMIT_SEPARATOR
    from credentials.api.filters import CredentialFilter
    from credentials.core import queries
    from credentials.models import Credential

    queryset = Credential.objects.filter(account_id=filled.account_id)
    filters = CredentialFilter(parameters, queryset, request=FilterRequest(filled))
    if not filters.is_valid():
        raise SystemExit(f"bench: {parameters} is refused: {filters.errors}")
    before = None if after is None else filled.id(after)
    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        if parameters:
            queries.fetch_filtered(filters.qs, LIMIT + 1, before)
        else:
            queries.fetch_newest(filled.account_id, LIMIT + 1, before)
    sql, params = seen[-1]
    # A limit of its time comes first, in the same message.
    sql = sql.rpartition(LIMIT_SEPARATOR)[2]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) {sql}", params)
        text = "\n".join(line for (line,) in cursor.fetchall())
    return re.sub(r"'[0-9a-f-]{36}'::uuid", "'…'::uuid", text)


if __name__ == "__main__":
    main()
