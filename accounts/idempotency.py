"""One request, one effect: who runs a request that has an Idempotency-Key, and what it answered.

A claim is one INSERT … ON CONFLICT whose row count decides. It is a lease by the database's clock,
so a process that is killed keeps nobody out for longer. The row's id is new with each claim and so
tells it from all others; the answer is sealed for that id.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from django.db import connection
from django.db.models import QuerySet

from accounts.models import IdempotencyRecord
from common.actors import Principal
from common.db import dialect
from common.db.clock import DbNow
from common.db.ids import uuid7
from common.errors import ConflictError, InvalidInputError, ServiceUnavailableError
from vault.sealing import Place, seal, unseal
from vault.services import get_signing_key

LEASE: Final = dt.timedelta(seconds=60)
RESPONSE_LIFETIME: Final = dt.timedelta(hours=24)
_RETRY_AFTER: Final = 1
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request by what must be the same for it to be the same request."""

    method: str
    path: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """What was answered; `body` is JSON text."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyClaim:
    """The right to run a request, and the duty to `finish` or `release` it."""

    id: uuid.UUID
    account_id: uuid.UUID


def claim_request(
    *, principal: Principal, key: str, request: IdempotentRequest
) -> IdempotencyClaim | StoredResponse:
    """The right to run `call` for a minute, or what it answered when it ran.

    `key` is the caller's, 1 to 255 characters; the keys of two tokens or sessions never meet. Raises
    Conflict (409) while the call runs elsewhere, Invalid (422) where the key belongs to another
    call. Outside of a transaction: what it writes must be seen by others at once.
    """
    digest, fingerprint = _digest("key", key), _fingerprint(request)
    for _ in range(_ROUNDS):
        claimed = IdempotencyClaim(id=uuid7(), account_id=principal.account_id)
        if _insert(claimed, principal.bearer_id, digest, fingerprint):
            return claimed
        found = IdempotencyRecord.objects.filter(
            bearer_id=principal.bearer_id, key_digest=digest
        ).first()
        if found is not None:
            return _answered(found, fingerprint)
    raise _running()


def store_response(*, claim: IdempotencyClaim, response: StoredResponse) -> None:
    """Keep the answer for 24 hours, sealed.

    In the transaction of the work itself, both happen or none does. Raises Unavailable (503) where
    the claim ended meanwhile and another may have run the call.
    """
    row = IdempotencyRecord(id=claim.id, account_id=claim.account_id)
    sealed = seal(Place.of(row, "answer"), asdict(response))
    if not _held(claim).update(answer=sealed, held_until=DbNow() + RESPONSE_LIFETIME):
        raise ServiceUnavailableError(
            "The request took longer than its Idempotency-Key is held; send it again.",
            retry_after=_RETRY_AFTER,
        )


def release_claim(*, claim: IdempotencyClaim) -> None:
    """Forget a call that had no effect: the next one with its key runs."""
    _held(claim).delete()


def delete_expired_records(limit: int) -> int:
    """Remove at most `limit` rows that are over; how many it removed. Any number may call it at once."""
    over = IdempotencyRecord.objects.filter(held_until__lte=DbNow())
    ids = list(over.order_by("held_until").values_list("id", flat=True)[:limit])
    # A key that was claimed meanwhile has another id.
    return IdempotencyRecord.objects.filter(id__in=ids).delete()[0]


def _insert(
    claim: IdempotencyClaim, bearer_id: uuid.UUID, digest: bytes, fingerprint: bytes
) -> bool:
    """Whether the key is this claim's now: it was free, or what it was claimed for is over."""
    values = dialect.adapt_all([claim.id, claim.account_id, bearer_id, digest, fingerprint])
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(), values)
        return bool(cursor.rowcount)


def _insert_sql() -> str:
    table = IdempotencyRecord._meta.db_table
    now, later = dialect.now_sql(), dialect.now_sql(plus=int(LEASE.total_seconds()))
    return f"""
        INSERT INTO {table} (id, account_id, bearer_id, key_digest, fingerprint, held_until)
        VALUES (%s, %s, %s, %s, %s, {later})
        ON CONFLICT (bearer_id, key_digest) DO UPDATE SET
            id = excluded.id, fingerprint = excluded.fingerprint,
            answer = NULL, held_until = excluded.held_until
        WHERE {table}.held_until <= {now}
    """  # noqa: S608 - our own names and our own clock's text


def _answered(row: IdempotencyRecord, fingerprint: bytes) -> StoredResponse:
    if not hmac.compare_digest(bytes(row.fingerprint), fingerprint):
        raise InvalidInputError(
            "This Idempotency-Key was sent with another request; take a new one."
        )
    if row.answer is None:
        raise _running()
    return StoredResponse(**unseal(Place.of(row, "answer"), row.answer))


def _running() -> ConflictError:
    return ConflictError(
        "The request with this Idempotency-Key is still running.", retry_after=_RETRY_AFTER
    )


def _held(claim: IdempotencyClaim) -> QuerySet[IdempotencyRecord]:
    """The row, if it is still this claim's and not finished."""
    return IdempotencyRecord.objects.filter(id=claim.id, answer__isnull=True)


def _fingerprint(call: IdempotentRequest) -> bytes:
    return _digest("call", call.method, call.path, call.media_type, call.body)


def _digest(*parts: bytes | str) -> bytes:
    """HMAC-SHA256 of the parts, each behind its length. Keyed, as a body may hold a weak password."""
    mac = hmac.new(get_signing_key("idempotency"), digestmod=hashlib.sha256)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        mac.update(len(raw).to_bytes(4))
        mac.update(raw)
    return mac.digest()
