"""Put grants on hold: while another system refreshes them, nothing here does.

Two systems can so run side by side without ending each other's grants. A token that has not expired
is still handed out.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from common.actors import Actor
from common.api.etags import ETags
from common.errors import ConflictError
from credentials.core.grants import lock_or_create_grant
from credentials.core.locks import lock_credential
from credentials.models import Credential, Grant
from credentials.refresh.on_import import set_hold
from credentials.services.preconditions import require_kind
from events.services import EventTarget, NewEvent
from webhooks.outbox import record_change, record_changes

CHUNK_SIZE: Final = 500

_VERBS: Final = {True: "credential.hold_placed", False: "credential.hold_released"}


def credential_hold(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    on_hold: bool = True,
    if_match: ETags | None = None,
) -> bool:
    """Put the grant of a credential on hold, or release it. Return False if nothing changed.

    A refresh that has begun goes on, and its response is stored. Raises NotFoundError,
    PreconditionFailedError, or ConflictError for a kind that is not refreshed.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        if not require_kind(row).refreshes:
            raise ConflictError(
                f"Credentials of the kind {row.kind} are not refreshed, so there is nothing to hold.",
                extra={"code": "not_refreshable"},
            )
        grant = lock_or_create_grant(row)
        if grant.on_hold == on_hold:
            return False
        set_hold(account_id, [grant.id], on_hold=on_hold)
        target = EventTarget("credential", account_id, id)
        record_change(actor, target, _VERBS[on_hold], ["hold"], webhook="credential.updated")
    return True


def credentials_hold(
    *, account_id: uuid.UUID, rows: QuerySet[Credential], actor: Actor, on_hold: bool
) -> int:
    """Put all grants of `rows` on hold, or release them. Return how many credentials changed.

    `rows` are filtered credentials of any account; those of others, and kinds that are not refreshed,
    are left out. They are changed in chunks that each commit.
    """
    rows = rows.filter(account_id=account_id, grant__on_hold=not on_hold).order_by("id")
    count, last = 0, None
    while True:
        page = rows.filter(id__gt=last) if last else rows
        ids = list(page.values_list("id", flat=True)[:CHUNK_SIZE])
        if not ids:
            return count
        last = ids[-1]
        with transaction.atomic():
            # Locked in the order of all services: the credentials before their grants.
            locked = Credential.objects.select_for_update(of=("self",), no_key=True).filter(
                account_id=account_id, id__in=ids
            )
            grants = {row.id: row.grant_id for row in locked.order_by("identity") if row.grant_id}
            unchanged = Grant.objects.select_for_update(no_key=True).filter(
                account_id=account_id, id__in=grants.values(), on_hold=on_hold
            )
            kept = {grant.id for grant in unchanged}
            changed = [id for id, grant_id in grants.items() if grant_id not in kept]
            set_hold(account_id, [grants[id] for id in changed], on_hold=on_hold)
            events = [NewEvent(_VERBS[on_hold], id, ["hold"]) for id in changed]
            record_changes(actor, account_id, "credential", events, webhook="credential.updated")
        count += len(changed)
