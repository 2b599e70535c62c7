"""What goes over the wire: https://github.com/standard-webhooks/standard-webhooks, version 1.0.0."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any, Final

import orjson

from common.datetimes import format_rfc3339
from webhooks.models import WebhookDelivery

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def generate_secret() -> str:
    """`whsec_` and 32 random bytes in base64; the bytes are the key."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def build_payload(delivery: WebhookDelivery) -> dict[str, Any]:
    """`{type, timestamp, data: {id, account_id}}`: ids alone, so that there is nothing to steal."""
    return {
        "type": delivery.type,
        "timestamp": format_rfc3339(delivery.created_at),
        "data": {"id": str(delivery.target_id), "account_id": str(delivery.account_id)},
    }


def build_body(delivery: WebhookDelivery) -> bytes:
    """The payload as it is sent and signed: the same bytes at each attempt."""
    return orjson.dumps(build_payload(delivery))


def build_headers(
    delivery: WebhookDelivery, *, at: dt.datetime, keys: Iterable[str]
) -> list[tuple[str, str]]:
    """The headers of one attempt made `at`; each live secret signs, so receivers may hold either."""
    id, moment = str(delivery.message_id), str(int(at.timestamp()))
    signed = b".".join((id.encode(), moment.encode(), build_body(delivery)))
    return [
        ("Content-Type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", moment),
        ("webhook-signature", " ".join(_signature(key, signed) for key in keys)),
    ]


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
