"""The outbox: deliveries are rows of the transaction that caused them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from typing import Any, Final

import orjson
from django.db import connection

from common.db import bulk_insert
from common.db.ids import to_uuid, uuid7
from webhooks.event_types import EVENT_TYPES

CHUNK: Final = 2_000
"""Rows in a statement: with their columns within SQLite's limit of parameters."""

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


def insert_deliveries(account_id: uuid.UUID, events: Iterable[WebhookEvent]) -> None:
    """A delivery of each (type, target id) to each endpoint of the account that wants the type.

    One statement that finds nothing where the account has no endpoint. Raises ValueError for a type
    that is not one.
    """
    wanted = _wanted(account_id)
    rows = (
        row
        for type, target_id in events
        if wanted[_known(type)]
        for row in _rows(account_id, wanted[type], type, target_id)
    )
    while chunk := list(itertools.islice(rows, CHUNK)):
        bulk_insert.insert_rows("webhooks_webhookdelivery", _COLUMNS, chunk)


def _rows(
    account_id: uuid.UUID, endpoints: list[uuid.UUID], type: str, target_id: uuid.UUID
) -> Iterable[tuple[Any, ...]]:
    message_id = uuid7()
    for endpoint_id in endpoints:
        yield (
            uuid7(), account_id, endpoint_id, message_id, type, target_id, "pending", 0, "", 0, "",
        )  # fmt: skip


def _wanted(account_id: uuid.UUID) -> dict[str, list[uuid.UUID]]:
    """Which endpoints are to be told of each type."""
    # The lock that the insert's foreign key takes anyway, taken before: an endpoint that is being
    # deleted is then not found, instead of failing what somebody wants to be told of.
    lock = "FOR KEY SHARE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, events FROM webhooks_webhookendpoint"  # noqa: S608 - our own words
            f" WHERE account_id = %s AND enabled {lock}",
            [
                bulk_insert.to_sqlite_value(account_id)
                if connection.vendor == "sqlite"
                else account_id
            ],
        )
        found = cursor.fetchall()
    wanted: dict[str, list[uuid.UUID]] = {type: [] for type in EVENT_TYPES}
    for id, events in found:
        for type in orjson.loads(events):
            wanted.get(type, []).append(to_uuid(id))
    return wanted


def _known(type: str) -> str:
    if type not in EVENT_TYPES:
        raise ValueError(f"{type} is no type of webhook.")
    return type
