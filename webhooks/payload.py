"""The body, headers and signature of a delivery, as Standard Webhooks 1.0.0 defines them.

https://github.com/standard-webhooks/standard-webhooks
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Iterable
from typing import Any, Final

import orjson

from common.datetimes import format_rfc3339
from webhooks.models import WebhookDelivery

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def generate_secret() -> str:
    """Return `whsec_` and 32 random bytes in base64; these bytes are the key."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def build_payload(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return `{type, timestamp, data: {id, account_id}}`."""
    # Only ids: an intercepted delivery contains no data of the object.
    return {
        "type": delivery.type,
        "timestamp": format_rfc3339(delivery.created_at),
        "data": {"id": str(delivery.target_id), "account_id": str(delivery.account_id)},
    }


def build_body(delivery: WebhookDelivery) -> bytes:
    """Return the payload as it is signed and sent: the same bytes at each attempt."""
    return orjson.dumps(build_payload(delivery))


def build_headers(
    delivery: WebhookDelivery, *, at: dt.datetime, keys: Iterable[str]
) -> list[tuple[str, str]]:
    """Return the headers of an attempt made `at`, with one signature for each of the secrets `keys`."""
    return sign(delivery.message_id, build_body(delivery), at=at.timestamp(), keys=keys)


def sign(id: uuid.UUID, body: bytes, *, at: float, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return the headers of message `id` sent at `at` (Unix time), signed with each of the secrets."""
    timestamp = str(int(at))
    signed = b".".join((str(id).encode(), timestamp.encode(), body))
    signatures = []
    for secret in keys:
        key = base64.b64decode(secret.removeprefix(PREFIX))
        digest = hmac.digest(key, signed, hashlib.sha256)
        signatures.append("v1," + base64.b64encode(digest).decode())
    return [
        ("Content-Type", "application/json"),
        ("webhook-id", str(id)),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", " ".join(signatures)),
    ]
