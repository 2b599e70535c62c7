"""Storage of the tokens that an attempt brought, once, if the grant is still the one it was made with."""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError

from credentials.core.moved_identity import keep_moved_identity
from credentials.core.refresh_tokens import record_refresh
from credentials.health.evidence import Evidence
from credentials.health.queries import lock_with_probe_state, update_row
from credentials.health.services import (
    evaluate_evidence,
    record_app_evidence,
    record_granted_scopes,
)
from credentials.models import Credential, Grant
from credentials.refresh.app_pauses import end_pause
from credentials.refresh.commit_retry import retry_commit
from credentials.refresh.lease import release_lease
from credentials.refresh.orphaned_tokens import schedule_orphan_revocation
from credentials.refresh.token_update import (
    TokenUpdate,
    build_credential_columns,
    build_grant_columns,
    is_stored,
)
from credentials.refresh.types import RefreshClaim
from events.services import EventTarget, NewEvent, record_event
from webhooks.outbox import record_changes

log = structlog.get_logger(__name__)


def store_success(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Store the new grant.

    Raises OperationalError or InterfaceError if the database does not accept it in time.
    """
    try:
        return _store_durably(claim, update)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # A bug in events, health or webhooks must not cost the grant.
        log.exception("refresh.side_effect_failed", id=str(claim.row.id))
        return _store_durably(claim, update, bare=True)


@retry_commit
def _store_durably(claim: RefreshClaim, update: TokenUpdate, *, bare: bool = False) -> bool:
    return store_token_update(claim, update, bare=bare)


def store_token_update(claim: RefreshClaim, update: TokenUpdate, *, bare: bool = False) -> bool:
    """Store the new grant in the caller's transaction, if the row still has the grant before it.

    `bare` leaves out health and webhooks.
    """
    # Read again: an import may have changed other columns in the meantime, and these stay.
    locked = lock_with_probe_state(claim.row.account_id, claim.row.id)
    if locked is None or not _store_grant(claim, update, locked.now):
        return _settle_conflict(claim, update)
    row = locked.row
    row.grant = claim.grant
    record_granted_scopes(locked, update.properties)
    values = build_credential_columns(row, update, locked.now)
    former_fingerprints = row.fingerprints
    for name, value in values.items():
        setattr(row, name, value)
    record_refresh(row, former_fingerprints)
    if bare:
        update_row(Credential, row.id, values)
        target = EventTarget("credential", row.account_id, row.id)
        record_event(claim.actor, target, "credential.refreshed")
        return True
    evidence = Evidence(source="refresh", verdict="ok", note="", code="")
    effect = evaluate_evidence(locked, evidence)
    update_row(Credential, row.id, {**values, **effect.columns})
    events = [NewEvent("credential.refreshed", row.id), *effect.events]
    if update.properties:
        keep_moved_identity(row, update.properties)
        names = [f"properties.{name}" for name in update.properties]
        events.append(NewEvent("credential.updated", row.id, names))
    record_changes(claim.actor, row.account_id, "credential", events)
    app = claim.row.oauth_app
    if app is not None and hasattr(app, "refresh_pause"):
        end_pause(app.id)
    if app is not None and app.health.get("status") != "ok":
        record_app_evidence(
            account_id=row.account_id, app_id=app.id, evidence=evidence, actor=claim.actor
        )
    return True


def store_recovered_tokens(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Store tokens that were found later, for a grant that the provider has rejected since.

    Leaves out health and webhooks: only the next refresh shows if the provider accepts them.
    """
    return _store_durably(claim, update, bare=True)


def _store_grant(claim: RefreshClaim, update: TokenUpdate, now: dt.datetime) -> bool:
    """Store the next generation of the grant. Return False if the claim's was replaced already."""
    values = build_grant_columns(claim.grant, update, now)
    fence: dict[str, Any] = {"generation": claim.generation}
    if not update_row(Grant, claim.grant.id, values, {**fence, "lease_owner": claim.owner}):
        # The lease may have expired, but the grant is still the one that was used: this is its only
        # successor.
        if not update_row(Grant, claim.grant.id, values, fence):
            return False
        log.warning("refresh.lost_lease", id=str(claim.row.id))
    return True


def _settle_conflict(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Discard the response for a grant that is gone. Return True if it is already stored."""
    row = Credential.objects.select_related("grant").filter(id=claim.row.id).first()
    if row is not None and is_stored(row, update):
        return True
    if row is not None:
        release_lease(claim)
    log.warning("refresh.superseded", id=str(claim.row.id), deleted=row is None)
    schedule_orphan_revocation(claim, update, successor=row)
    return False
