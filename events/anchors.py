"""One digest over the heads of all chains, to be kept outside the database.

Everything that the chains cover at that time can be compared with it later
(`verify_events --since-anchor`), also if the newest checkpoints were removed together with all
events since.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Final

from django.apps import apps

from common.db.clock import db_now
from events.digests import compute_heads_digest
from events.hash_chain import fetch_heads
from events.models import AccountCheckpoint, EventCheckpoint

_ACCOUNTS_PER_QUERY: Final = 2_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """The digest over `chains` heads as of one checkpoint. `text` is `NUMBER:DIGEST`."""

    text: str
    chains: int
    time: dt.datetime


def compute_anchor() -> Anchor | None:
    """Return the anchor of the newest checkpoint, or None if there is no checkpoint yet."""
    checkpoint = EventCheckpoint.objects.order_by("-number").first()
    if checkpoint is None:
        return None
    heads = fetch_all_heads(upto=checkpoint.number)
    digest = compute_heads_digest(checkpoint, heads)
    return Anchor(format_anchor(checkpoint.number, digest), len(heads), db_now())


def format_anchor(number: int, digest: bytes) -> str:
    """Return `NUMBER:DIGEST`, the digest in hexadecimal."""
    return f"{number}:{digest.hex()}"


def fetch_all_heads(*, upto: int) -> dict[uuid.UUID, AccountCheckpoint]:
    """Return the head of each account's chain as of checkpoint number `upto`."""
    ids = apps.get_model("accounts", "Account")._default_manager.order_by("id").values_list("id")
    accounts = [id for (id,) in ids]
    heads = []
    for start in range(0, len(accounts), _ACCOUNTS_PER_QUERY):
        heads += fetch_heads(accounts[start : start + _ACCOUNTS_PER_QUERY], upto=upto)
    return {head.account_id: head for head in heads}
