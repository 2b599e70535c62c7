"""Tokens that arrived for a grant which is no longer stored. They are revoked, not forgotten."""

from __future__ import annotations

from credentials.core.grant_state import get_grant
from credentials.models import Credential, Revocation
from credentials.refresh.token_update import TokenUpdate
from credentials.refresh.types import RefreshClaim
from providers.registry import get_registry
from vault.sealing import Place, seal


def schedule_orphan_revocation(
    claim: RefreshClaim, update: TokenUpdate, *, successor: Credential | None
) -> None:
    """Schedule the revocation of the new tokens, in the caller's transaction.

    `successor` is the credential as it is now, None if it was deleted. Nothing is scheduled if the
    provider has no call for it, or if revoking might end the grant of `successor`.
    """
    row = claim.row
    oauth = get_registry().get_oauth(row.properties["kind"])
    if oauth is None or not (oauth.revocation_url or oauth.revocation):
        return
    # Another refresh's grant is of the same family. So may an imported one be, if the provider
    # accepts a replaced token for a while.
    refreshed = successor is not None and get_grant(successor).last_at
    if successor is not None and (refreshed or oauth.refresh.grace_seconds):
        return
    revocation = Revocation(
        account_id=row.account_id,
        oauth_app_id=row.oauth_app_id,
        credential_id=row.id,
        kind=row.properties["kind"],
        properties=row.properties,
    )
    revocation.sealed = seal(Place.of(revocation, "sealed"), update.get_new_secrets())
    revocation.save(force_insert=True)
