"""Find the credentials that contain a leaked string, by fingerprints. Nothing is decrypted."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import transaction
from django.db.models import Func, JSONField, TextField
from django.db.models.functions import Cast

from common.actors import Actor
from common.db import dialect
from credentials.models import Credential
from events.services import EventTarget, record_event
from vault.services import compute_fingerprint

MAX_MATCHES: Final = 100


class FingerprintArray(Func):
    """The fingerprints of all fields in one array. Migration 0006 indexes this exact expression."""

    template = "jsonb_path_query_array(credentials_credential.fingerprints, '$.*[*]')"
    arity = 0
    output_field = JSONField()


def credential_find_by_secret(
    *, account_id: uuid.UUID, value: str, actor: Actor
) -> list[uuid.UUID]:
    """Return the ids of the account's credentials that have or recently had the secret `value`.

    Newest first, at most MAX_MATCHES. The search is an event, which does not say what was searched.
    """
    fingerprint = compute_fingerprint(account_id, value)
    # SQLite has no index for JSON containment, and comparing text is the faster scan.
    field = dialect.choose(postgresql=FingerprintArray(), sqlite=Cast("fingerprints", TextField()))
    condition: dict[str, Any] = dialect.choose(
        postgresql={"field__jsoncontains": [fingerprint]},
        sqlite={"field__contains": f'"{fingerprint}"'},
    )
    rows = Credential.objects.filter(account_id=account_id).alias(field=field).filter(**condition)
    with transaction.atomic():
        target = EventTarget("account", account_id, account_id)
        # Recorded before the search: an attempt that finds nothing is of interest, too.
        record_event(actor, target, "account.secret_searched")
        return list(rows.order_by("-id").values_list("id", flat=True)[:MAX_MATCHES])
