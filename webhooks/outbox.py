"""The outbox: deliveries are rows of the transaction that caused them.

`record_change` is for a change of an object that customers subscribe to. The event is in the audit log
and the deliveries are in the outbox if and only if the transaction that made the change commits. Changes
without a webhook are recorded by `events.services.record_event`.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import orjson
from django.db import connection

from common.actors import Actor
from common.db import bulk_insert, dialect
from common.db.ids import to_uuid, uuid7
from events.services import EventTarget, NewEvent, record_event, record_events
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


def record_change(
    actor: Actor,
    target: EventTarget,
    verb: str,
    changed: Sequence[str] = (),
    *,
    webhook: str | None = None,
) -> None:
    """Append one event and enqueue its webhook, whose type is `webhook`, otherwise the verb.

    Call it once per change, in the transaction that makes it and after its row is locked: receivers
    get the webhooks of one object in the order of these locks. Raises ValueError for a type that is
    not one of webhooks.event_types.
    """
    record_event(actor, target, verb, changed)
    enqueue(target.account_id, [(webhook or verb, target.id)])


def record_changes(
    actor: Actor,
    account_id: uuid.UUID,
    target_type: str,
    events: Sequence[NewEvent],
    *,
    webhook: str | None = None,
) -> None:
    """Do the same for several changes of one account.

    It takes one statement for the events and one per 2,000 deliveries.
    """
    if events:
        record_events(actor, account_id, target_type, events)
        enqueue(account_id, [(webhook or event.verb, event.target_id) for event in events])


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
