"""Which credentials hold a string that was found where it should not be. No seal is opened."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction
from django.db.models import Func, JSONField, QuerySet, TextField
from django.db.models.functions import Cast

from common.actors import Actor
from common.db import dialect
from credentials.models import Credential
from events.services import record_event
from vault.services import compute_fingerprint

MAX_MATCHES: Final = 100


class FingerprintArray(Func):
    """Those of all fields in one array. Migration 0006 has an index on this very expression."""

    template = "jsonb_path_query_array(credentials_credential.fingerprints, '$.*[*]')"
    arity = 0
    output_field = JSONField()


def credential_find_by_secret(
    *, account_id: uuid.UUID, value: str, actor: Actor
) -> list[uuid.UUID]:
    """The account's credentials of which `value` is a secret, or was one lately; newest first.

    Compared by fingerprints. That somebody asked is an event; what for is not kept.
    """
    rows = Credential.objects.filter(account_id=account_id)
    with transaction.atomic():
        record_event(
            actor=actor,
            account_id=account_id,
            verb="account.secret_sought",
            target_type="account",
            target_id=account_id,
        )
        found = _having(rows, compute_fingerprint(account_id, value)).order_by("-id")
        return list(found.values_list("id", flat=True)[:MAX_MATCHES])


def _having(rows: QuerySet[Credential], print: str) -> QuerySet[Credential]:
    if dialect.is_postgresql():
        return rows.alias(prints=FingerprintArray()).filter(prints__jsoncontains=[print])
    # SQLite has no index for it: a look at the text is the quicker way.
    prints = Cast("fingerprints", TextField())
    return rows.alias(prints=prints).filter(prints__contains=f'"{print}"')
