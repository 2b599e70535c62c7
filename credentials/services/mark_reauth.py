"""Mark a grant as unusable, so that its owner connects again."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from common.actors import Actor
from common.errors import ConflictError, NotFoundError
from credentials.core.grant_state import ENDED_GRANT, NEEDS_REAUTH, is_leased
from credentials.core.grants import lock_or_create_grant
from credentials.health.evidence import Evidence
from credentials.health.queries import lock_with_probe_state, update_row
from credentials.health.services import evaluate_evidence
from credentials.models import Credential, Grant
from credentials.refresh.errors import RefreshInProgressError
from events.services import EventTarget, record_event
from providers.registry import get_registry
from webhooks.outbox import enqueue, record_changes

MARKED_BY_STAFF: Final = "marked"
_EVIDENCE: Final = Evidence(
    source="refresh",
    verdict="rejected",
    note="It was marked for reconnection by staff. Connect it again.",
    code=MARKED_BY_STAFF,
)


def credential_mark_for_reconnection(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> bool:
    """Treat the grant as if the provider had rejected it: no refresh, health `error`, owner notified.

    The secrets stay stored. A new connection, or an import of another grant, makes the credential
    active again. Return False, and write nothing, if it is marked or rejected already.

    Raises NotFoundError, ConflictError for a kind that is not refreshed, or RefreshInProgressError.
    """
    with transaction.atomic():
        locked = lock_with_probe_state(account_id, id)
        if locked is None:
            raise NotFoundError()
        row = locked.row
        kind = get_registry().get_kind(row.kind)
        if kind is None or not kind.refreshes:
            raise ConflictError(
                f"Credentials of the kind {row.kind} are not connected by their owner; rotate the"
                " secret instead."
            )
        grant = lock_or_create_grant(row)
        if grant.state == NEEDS_REAUTH:
            return False
        # The response of that refresh can be a newer grant than the one that was marked.
        if is_leased(grant, locked.now):
            raise RefreshInProgressError()
        # The same evidence as a rejection by the provider: health and the e-mail follow from it.
        effect = evaluate_evidence(locked, _EVIDENCE)
        update_row(Grant, grant.id, {**ENDED_GRANT, "error": MARKED_BY_STAFF})
        update_row(Credential, id, effect.columns)
        target = EventTarget("credential", account_id, id)
        record_event(actor, target, "credential.needs_reauth")
        record_changes(actor, account_id, "credential", effect.events)
        if not effect.events:
            # Its health was `error` before, so there is no event that says that the state changed.
            enqueue(account_id, [("credential.updated", id)])
    return True
