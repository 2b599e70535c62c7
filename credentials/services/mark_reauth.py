"""A grant that people know to be of no use: its owner has to connect again."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from common.actors import Actor
from common.errors import ConflictError, NotFoundError
from credentials.core.grant_state import ENDED_GRANT, NEEDS_REAUTH, is_leased
from credentials.health.evidence import Evidence
from credentials.health.history import HealthTarget, publish_events
from credentials.health.queries import lock_with_probe_state, update_row
from credentials.health.services import evaluate_evidence
from credentials.models import Credential
from credentials.refresh.errors import RefreshInProgressError
from events.services import record_event
from providers.registry import get_registry
from webhooks.services import enqueue_webhook

MARKED_BY_STAFF: Final = "marked"
_EVIDENCE: Final = Evidence(
    source="refresh",
    verdict="rejected",
    note="It was marked for reconnection by staff. Connect it again.",
    code=MARKED_BY_STAFF,
)


def credential_mark_for_reconnection(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> bool:
    """As if the provider had refused the grant: no refresh, health `error`, a mail to the owner.

    What is held stays sealed where it is; a new connection or an import of another grant ends the
    state. False, and nothing is written, where it is marked or refused already. Raises NotFound,
    Conflict for a kind that is not refreshed, or Unavailable while a refresh is under way: its
    answer would be a newer grant than the one that was meant.
    """
    with transaction.atomic():
        found = lock_with_probe_state(account_id, id)
        if found is None:
            raise NotFoundError()
        row = found.row
        kind = get_registry().get_kind(row.kind)
        if kind is None or not kind.refreshes:
            raise ConflictError(
                f"{row.kind} is not connected by consent; give it new secrets instead."
            )
        if row.refresh_state == NEEDS_REAUTH:
            return False
        if is_leased(row, found.now):
            raise RefreshInProgressError()
        effect = evaluate_evidence(found, _EVIDENCE)
        columns = {**ENDED_GRANT, "refresh_error": MARKED_BY_STAFF, **effect.columns}
        update_row(Credential, id, columns)
        record_event(
            actor=actor,
            account_id=account_id,
            verb="credential.needs_reauth",
            target_type="credential",
            target_id=id,
        )
        publish_events(HealthTarget("credential", account_id, id), actor, effect.events)
        if not effect.events:
            # Its health was an error before: that it waits for its owner is news all the same.
            enqueue_webhook(account_id=account_id, type="credential.updated", target_id=id)
    return True
