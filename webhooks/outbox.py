"""The outbox: deliveries are rows of the transaction that caused them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from django.db import connection

from common.db import bulk_insert, dialect
from common.db.ids import to_uuid, uuid7
from webhooks.event_types import EVENT_TYPES

# Rows in one statement: times the columns, they stay within SQLite's limit of parameters.
CHUNK: Final = 2_000

_COLUMNS: Final = {
    "id": "uuid",
    "account_id": "uuid",
    "endpoint_id": "uuid",
    "message_id": "uuid",
    "type": "text",
    "target_id": "uuid",
    "state": "text",
    "attempts": "int",
    "lease_owner": "text",
    "fence": "int",
    "last_error": "text",
}

WebhookEvent = tuple[str, uuid.UUID]
"""The type and the id of the object that changed."""


def enqueue(account_id: uuid.UUID, events: Iterable[WebhookEvent]) -> None:
    """Add a delivery of each event to each endpoint of the account that subscribes to its type.

    Call it once for each change, in the transaction that makes the change and after its row is
    locked: that lock keeps the order of the deliveries of one object. It costs one statement to find
    the endpoints, and one for each 2,000 deliveries. Raises ValueError for a type that is not in
    EVENT_TYPES.
    """
    subscribers = _find_subscribers(account_id)

    def build_rows() -> Iterator[tuple[Any, ...]]:
        for type, target_id in events:
            if type not in subscribers:
                raise ValueError(f"{type} is not an event type of webhooks.")
            message_id = uuid7() if subscribers[type] else None
            for endpoint_id in subscribers[type]:
                yield (
                    uuid7(), account_id, endpoint_id, message_id, type, target_id,
                    "pending", 0, "", 0, "",
                )  # fmt: skip

    rows = build_rows()
    while chunk := list(itertools.islice(rows, CHUNK)):
        bulk_insert.insert_rows("webhooks_webhookdelivery", _COLUMNS, chunk)


def _find_subscribers(account_id: uuid.UUID) -> dict[str, list[uuid.UUID]]:
    """Return the ids of the enabled endpoints that subscribe to each type."""
    # The insert's foreign key takes this lock anyway. Taken here, an endpoint that is being deleted
    # is not found, instead of making the insert fail.
    lock = dialect.lock_sql("FOR KEY SHARE")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, events FROM webhooks_webhookendpoint"  # noqa: S608 - our own words
            f" WHERE account_id = %s AND enabled {lock}",
            [dialect.adapt(account_id)],
        )
        endpoints = cursor.fetchall()
    subscribers: dict[str, list[uuid.UUID]] = {type: [] for type in EVENT_TYPES}
    for id, types in endpoints:
        for type in orjson.loads(types):
            # A row may name a type that a newer version of the server knew.
            subscribers.get(type, []).append(to_uuid(id))
    return subscribers
