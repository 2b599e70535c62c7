"""Tokens that came for a grant which is no longer ours to keep: they are revoked, not forgotten."""

from __future__ import annotations

from credentials.models import Credential, Revocation
from credentials.refresh.token_update import TokenUpdate
from credentials.refresh.types import RefreshClaim
from providers.registry import get_registry
from vault.sealing import Place, seal


def schedule_orphan_revocation(
    claim: RefreshClaim, renewal: TokenUpdate, *, successor: Credential | None
) -> None:
    """Note for the worker that these tokens are to be ended; in the caller's transaction.

    Not where another refresh was first: its grant is of the same family, which a revocation would
    end. Nor where the provider honours a replaced token for a while and an import came meanwhile:
    what was imported may be a sibling of what we got.
    """
    row = claim.row
    provider = get_registry().get_provider(row.provider)
    oauth = provider.oauth if provider else None
    if oauth is None or not (oauth.revocation_url or oauth.revocation):
        return
    if successor is not None and (successor.refresh_last_at or oauth.refresh.grace_seconds):
        return
    revocation = Revocation(
        account_id=row.account_id,
        oauth_app_id=row.oauth_app_id,
        credential_id=row.id,
        kind=row.properties["kind"],
        properties=row.properties,
    )
    revocation.sealed = seal(Place.of(revocation, "sealed"), _tokens(renewal))
    revocation.save(force_insert=True)


def _tokens(renewal: TokenUpdate) -> dict[str, str]:
    tokens = {"access_token": renewal.access_token.expose()}
    if renewal.refresh_token is not None:
        tokens["refresh_token"] = renewal.refresh_token.expose()
    return tokens
