"""Which credentials hold a string that was found where it should not be. No seal is opened."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from common.callers import Actor
from credentials.models import Credential
from events.services import record
from vault.services import fingerprint

MOST: Final = 100


def credentials_holding(*, account_id: uuid.UUID, value: str, actor: Actor) -> list[uuid.UUID]:
    """The account's credentials of which `value` is a secret, or was one lately; newest first.

    Compared by fingerprints, in one pass over the account's rows: it is asked rarely, and an index
    would cost every import. That somebody asked is an event; what for is not kept.
    """
    print = fingerprint(account_id, value)
    rows = Credential.objects.filter(account_id=account_id).alias(
        prints=Cast("fingerprints", TextField())
    )
    with transaction.atomic():
        record(
            actor=actor,
            account_id=account_id,
            verb="account.secret_sought",
            target_type="account",
            target_id=account_id,
        )
        found = rows.filter(prints__contains=f'"{print}"').order_by("-id")
        return list(found.values_list("id", flat=True)[:MOST])
