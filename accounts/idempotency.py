"""Idempotent requests: which process runs a request with an Idempotency-Key, and its stored response.

A claim is one INSERT … ON CONFLICT whose row count decides. It is a lease by the database's clock, so
a process that is killed does not block the key for longer. Each claim gives the row a new id, which
distinguishes it from all others; the response is sealed for that id.
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

LEASE: Final = dt.timedelta(seconds=15)
"""As long as one statement may take. A transaction that takes longer is rolled back (`store_response`)."""

UPSTREAM_LEASE: Final = dt.timedelta(seconds=60)
"""For work outside of a transaction, which would not be rolled back."""

RESPONSE_LIFETIME: Final = dt.timedelta(hours=24)
_RETRY_AFTER: Final = 1
_MAX_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """The parts of a request that must be equal if it is sent again with the same key."""

    method: str
    path: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A response as it is stored; `body` is JSON text. The names of the fields are stored, too."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyClaim:
    """The right to run a request, and the duty to call `store_response` or `release_claim` for it."""

    id: uuid.UUID
    account_id: uuid.UUID


def claim_request(
    *, principal: Principal, key: str, request: IdempotentRequest, lease: dt.timedelta = LEASE
) -> IdempotencyClaim | StoredResponse:
    """Claim the right to run `request` until `lease` ends, or return the stored response.

    `key` has 1 to 255 characters. Keys of different tokens or sessions are independent. Raises
    ConflictError (409) while another process runs the request, and InvalidInputError (422) if the key
    was used for another request. Call it outside of a transaction: other processes must see the row.
    """
    digest = _compute_digest("key", key)
    fingerprint = _compute_digest(
        "call", request.method, request.path, request.media_type, request.body
    )
    # If the row is deleted between the two statements, the key is free: try again.
    for _ in range(_MAX_ROUNDS):
        claim = IdempotencyClaim(id=uuid7(), account_id=principal.account_id)
        if _insert(claim, principal.bearer_id, digest, fingerprint, lease):
            return claim
        rows = IdempotencyRecord.objects.filter(bearer_id=principal.bearer_id, key_digest=digest)
        row = rows.first()
        if row is None:
            continue
        if not hmac.compare_digest(bytes(row.fingerprint), fingerprint):
            raise InvalidInputError(
                "This Idempotency-Key was sent with another request; use a new one."
            )
        if row.answer is None:
            break
        return StoredResponse(**unseal(Place.of(row, "answer"), row.answer))
    raise ConflictError(
        "The request with this Idempotency-Key is still running.", retry_after=_RETRY_AFTER
    )


def store_response(*, claim: IdempotencyClaim, response: StoredResponse) -> None:
    """Store the sealed response for 24 hours.

    Call it in the transaction of the work, so that both are committed or neither. Raises
    ServiceUnavailableError (503) if the claim expired, as another process may have run the request.
    """
    row = IdempotencyRecord(id=claim.id, account_id=claim.account_id)
    sealed = seal(Place.of(row, "answer"), asdict(response))
    if not _filter_record(claim).update(answer=sealed, held_until=DbNow() + RESPONSE_LIFETIME):
        raise ServiceUnavailableError(
            "The request took longer than its Idempotency-Key is reserved; send it again.",
            retry_after=_RETRY_AFTER,
        )


def release_claim(*, claim: IdempotencyClaim) -> None:
    """Delete the claim of a request that had no effect: the next one with its key runs."""
    _filter_record(claim).delete()


def delete_expired_records(limit: int) -> int:
    """Delete at most `limit` expired rows, and return their number. It may run concurrently."""
    expired = IdempotencyRecord.objects.filter(held_until__lte=DbNow())
    ids = list(expired.order_by("held_until").values_list("id", flat=True)[:limit])
    # A key that another process claims in the meantime gets another id.
    return IdempotencyRecord.objects.filter(id__in=ids).delete()[0]


def _insert(
    claim: IdempotencyClaim,
    bearer_id: uuid.UUID,
    digest: bytes,
    fingerprint: bytes,
    lease: dt.timedelta,
) -> bool:
    """Insert the claim if the key is unused or its row has expired. Return False otherwise."""
    table = IdempotencyRecord._meta.db_table
    now, later = dialect.now_sql(), dialect.now_sql(plus=int(lease.total_seconds()))
    query = f"""
        INSERT INTO {table} (id, account_id, bearer_id, key_digest, fingerprint, held_until)
        VALUES (%s, %s, %s, %s, %s, {later})
        ON CONFLICT (bearer_id, key_digest) DO UPDATE SET
            id = excluded.id, fingerprint = excluded.fingerprint,
            answer = NULL, held_until = excluded.held_until
        WHERE {table}.held_until <= {now}
    """  # noqa: S608 - our own names and our own clock's text
    values = dialect.adapt_all([claim.id, claim.account_id, bearer_id, digest, fingerprint])
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return bool(cursor.rowcount)


def _filter_record(claim: IdempotencyClaim) -> QuerySet[IdempotencyRecord]:
    """Return the claim's row, or none if it expired or has a response."""
    return IdempotencyRecord.objects.filter(id=claim.id, answer__isnull=True)


def _compute_digest(*parts: bytes | str) -> bytes:
    # With a key, because a body may contain a weak password, which a plain hash would give away.
    mac = hmac.new(get_signing_key("idempotency"), digestmod=hashlib.sha256)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        mac.update(len(raw).to_bytes(4))
        mac.update(raw)
    return mac.digest()
