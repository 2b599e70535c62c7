"""Token responses that cannot be read: kept encrypted, one per credential, until they expire.

A provider that rotates has replaced the grant when it sends such a response, so the new tokens may be
in it. People can look at the response, and a later version of Latchkey may read it
(credentials/refresh/recovered_tokens.py).
"""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.db.models import F, Q

from common.db.clock import db_now
from common.db.ids import uuid7
from credentials.health.models import UnreadableResponse
from credentials.refresh.types import RefreshClaim
from egress import Response
from events.services import EventTarget, record_event
from oauth_apps.protocol.types import UnreadableBody
from vault.sealing import Place, seal, unseal

MAX_BODY_BYTES: Final = 256 * 1024
KEPT_FOR: Final = dt.timedelta(days=30)
CHUNK: Final = 1000


class StoredResponse(NamedTuple):
    """A decrypted response. `body` is what the provider sent, or its first MAX_BODY_BYTES."""

    row: UnreadableResponse
    body: bytes

    def to_response(self) -> Response:
        return Response(self.row.status, (("content-type", self.row.content_type),), self.body)


def find_unreadable_response(
    account_id: uuid.UUID, credential_id: uuid.UUID
) -> StoredResponse | None:
    """Return the decrypted response, None if there is none. Raises SecretUnavailableError."""
    rows = UnreadableResponse.objects.filter(account_id=account_id, credential_id=credential_id)
    row = rows.filter(expires_at__gt=db_now()).first()
    return None if row is None else decrypt_response(row)


def decrypt_response(row: UnreadableResponse) -> StoredResponse:
    """Return the response with its body. Raises SecretUnavailableError."""
    document: Mapping[str, Any] = unseal(Place.of(row, "sealed"), row.sealed)
    return StoredResponse(row, base64.b64decode(document["body"]))


def keep_unreadable_response(claim: RefreshClaim, response: UnreadableBody) -> str:
    """Store the response in the caller's transaction. Return a sentence about that.

    It replaces the one before, unless only that one may contain tokens.
    """
    row = claim.row
    rows = UnreadableResponse.objects.filter(credential_id=row.id)
    kept = rows.filter(generation=claim.generation).only("has_tokens", "expires_at").first()
    # UTF-16 has a zero byte next to each letter.
    has_tokens = b"token" in response.body.replace(b"\0", b"").lower()
    if kept is not None and kept.has_tokens and not has_tokens:
        return _describe(kept.expires_at)
    rows.delete()
    now = db_now()
    new = UnreadableResponse(
        id=uuid7(),
        account_id=row.account_id,
        credential_id=row.id,
        generation=claim.generation,
        status=response.status,
        content_type=response.content_type[:100],
        size=len(response.body),
        has_tokens=has_tokens,
        received_at=now,
        expires_at=now + KEPT_FOR,
    )
    body = base64.b64encode(response.body[:MAX_BODY_BYTES]).decode()
    new.sealed = seal(Place.of(new, "sealed"), {"body": body})
    new.save(force_insert=True)
    if kept is None:
        target = EventTarget("credential", row.account_id, row.id)
        record_event(claim.actor, target, "credential.response_kept")
    return _describe(new.expires_at)


def describe_kept_response(claim: RefreshClaim) -> str | None:
    """Return a sentence about the response that is kept for this very grant, None if there is none."""
    rows = UnreadableResponse.objects.filter(
        credential_id=claim.row.id, generation=claim.generation
    )
    kept = rows.only("expires_at").first()
    return None if kept is None else _describe(kept.expires_at)


def delete_obsolete_responses() -> bool:
    """Delete up to CHUNK that have expired, or whose grant was replaced. Return True if there may be more."""
    is_obsolete = Q(expires_at__lte=db_now()) | ~Q(generation=F("credential__grant__generation"))
    ids = list(UnreadableResponse.objects.filter(is_obsolete).values_list("id", flat=True)[:CHUNK])
    UnreadableResponse.objects.filter(id__in=ids).delete()
    return len(ids) == CHUNK


def _describe(expires_at: dt.datetime) -> str:
    day = f"{expires_at.astimezone(dt.UTC):%Y-%m-%d}"
    return (
        f"A response of the provider could not be read. It is kept encrypted until {day}: who may"
        " reveal secrets can look at it."
    )
