"""The digests of the hash chains over the audit log: what they cover, and in which bytes.

Version 1 is one chain over all accounts: each checkpoint an HMAC over the one before and its events.
Version 2 has a chain for each account, and a checkpoint is an HMAC over the one before, its time and
mark, and the account checkpoints that were written with it. Checkpoints keep the version that they
were written with. Nothing here may ever change: a stored digest would not be found again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from django.db.models import QuerySet

from common.datetimes import format_rfc3339
from events.models import AccountCheckpoint, Event, EventCheckpoint, SealingDelay
from vault.services import get_signing_key

# The first checkpoint of a chain has this in place of the digest of the one before.
INITIAL_DIGEST: Final = bytes(32)

# The digests cover these columns in this order.
COLUMNS: Final = (
    "position", "id", "account_id", "verb", "actor", "target_type", "target_id", "changed",
    "detail", "ip", "request_id", "time",
)  # fmt: skip
POSITION: Final = COLUMNS.index("position")
ACCOUNT: Final = COLUMNS.index("account_id")
TIME: Final = COLUMNS.index("time")

EventColumns = tuple[Any, ...]
"""The values of `COLUMNS` of one event."""


def select_batch(after: int, upto: int) -> QuerySet[Any, EventColumns]:
    """Return the covered columns of the events after position `after` up to `upto`, in their order."""
    events = Event.objects.filter(position__gt=after, position__lte=upto)
    return events.order_by("position").values_list(*COLUMNS)


def group_by_account(events: Iterable[EventColumns]) -> dict[uuid.UUID, list[EventColumns]]:
    """Return the events of each account, in their order; the accounts in the order of their ids."""
    groups: dict[uuid.UUID, list[EventColumns]] = {}
    for event in events:
        groups.setdefault(event[ACCOUNT], []).append(event)
    return dict(sorted(groups.items()))


def compute_digest(
    before: bytes, number: int, upto: int, events: Iterable[EventColumns]
) -> tuple[bytes, int]:
    """Return the digest of a checkpoint of version 1 after the digest `before`, and its events' number."""
    mac = _start_mac("events", before, number, upto)
    count = _add_events(mac, events)
    return mac.digest(), count


def compute_account_digest(
    before: bytes, checkpoint: AccountCheckpoint, events: Iterable[EventColumns]
) -> tuple[bytes, int]:
    """Return the digest of an account's checkpoint after the digest `before`, and its events' number."""
    mac = _start_mac("event-chains", b"account/2", checkpoint.account_id.bytes, before)
    _add(mac, checkpoint.number, checkpoint.first, checkpoint.round, checkpoint.sealed_at)
    count = _add_events(mac, events)
    return mac.digest(), count


def compute_round_digest(
    before: bytes, checkpoint: EventCheckpoint, accounts: Iterable[AccountCheckpoint]
) -> bytes:
    """Return the digest of a checkpoint of version 2, which was written together with `accounts`."""
    mac = _start_mac("event-chains", b"round/2", before, checkpoint.number, checkpoint.upto)
    _add(mac, checkpoint.count, checkpoint.mark_position, checkpoint.mark_xact)
    _add(mac, int(checkpoint.continued), checkpoint.sealed_at)
    for account in sorted(accounts, key=lambda each: each.account_id):
        _add(mac, account.account_id.bytes, account.number, bytes(account.digest))
    return mac.digest()


def compute_delay_digest(delay: SealingDelay) -> bytes:
    """Return the HMAC of a recorded delay."""
    mac = _start_mac("event-chains", b"delay/1", delay.after, delay.upto, delay.recorded_at)
    _add(mac, bytes(delay.checkpoint or b""), delay.reason.encode())
    return mac.digest()


def compute_heads_digest(
    checkpoint: EventCheckpoint, heads: Mapping[uuid.UUID, AccountCheckpoint]
) -> bytes:
    """Return one SHA-256 over a checkpoint and the newest checkpoint of each account."""
    digest = hashlib.sha256(b"heads/1")
    digest.update(checkpoint.number.to_bytes(8) + bytes(checkpoint.digest))
    for account_id, head in sorted(heads.items()):
        digest.update(account_id.bytes + head.number.to_bytes(8) + bytes(head.digest))
    return digest.digest()


def _start_mac(purpose: str, *values: bytes | int | dt.datetime) -> hmac.HMAC:
    mac = hmac.new(get_signing_key(purpose), digestmod=hashlib.sha256)
    _add(mac, *values)
    return mac


def _add(mac: hmac.HMAC, *values: bytes | int | dt.datetime) -> None:
    for value in values:
        if isinstance(value, int):
            mac.update(value.to_bytes(8))
        elif isinstance(value, dt.datetime):
            mac.update((format_rfc3339(value) or "").encode())
        else:
            mac.update(value)


def _add_events(mac: hmac.HMAC, events: Iterable[EventColumns]) -> int:
    """Add the events to `mac`; return their number."""
    count = 0
    for event in events:
        # orjson's own format of datetimes has an offset; PostgreSQL and SQLite must give one digest.
        values = [format_rfc3339(v) if isinstance(v, dt.datetime) else v for v in event]
        line = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        # The length in front keeps two events from being read as one.
        mac.update(len(line).to_bytes(8) + line)
        count += 1
    return count
