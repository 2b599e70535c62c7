"""A provider's token response as columns of the credential that it belongs to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.datetimes import format_rfc3339
from credentials.core.encryption import encrypt_previous_grant, encrypt_secrets
from credentials.core.grant_state import NEW_GRANT, NO_LEASE, add_refreshed
from credentials.core.token_properties import read_changed_properties
from credentials.models import Credential, Grant
from credentials.refresh import schedule
from credentials.refresh.types import AccessToken, RefreshClaim
from oauth_apps.protocol import TokenResponse
from providers.properties import MASK
from providers.registry import get_registry
from vault.secret import Secret
from vault.services import compute_fingerprint


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenUpdate:
    """New tokens, and the secrets of the row that they are stored with.

    `refresh_token` is None if the old one stays. `next_refresh_in` is in seconds. `properties` are
    those that the response states differently from the stored ones: scopes, the account's address.
    """

    secrets: Mapping[str, str]
    access_token: Secret
    refresh_token: Secret | None
    expires_at: dt.datetime | None
    next_refresh_in: float | None
    properties: Mapping[str, Any] = field(default_factory=dict)

    def to_access_token(self) -> AccessToken:
        return AccessToken(
            access_token=self.access_token,
            token_type="Bearer",  # noqa: S106 - a type, no token
            expires_at=self.expires_at,
        )

    def get_new_secrets(self) -> dict[str, str]:
        """Return the tokens that the provider sent, by the names of their fields."""
        secrets = {"access_token": self.access_token.expose()}
        if self.refresh_token is not None:
            secrets["refresh_token"] = self.refresh_token.expose()
        return secrets


def build_token_update(
    claim: RefreshClaim, tokens: TokenResponse, secrets: Mapping[str, str]
) -> TokenUpdate:
    """Return the columns to store for `tokens`. `secrets` are those that the row has."""
    oauth = get_registry().get_oauth(claim.row.properties["kind"])
    facts = oauth.refresh if oauth else None
    # If the response does not state a lifetime, the provider's file may.
    expires_in = tokens.expires_in or (facts.access_token_seconds if facts else None)
    # Counted from the claim, which is before the response: a token that is refreshed too early does
    # no harm, and one that is used too late fails.
    expires_at = claim.claimed_at + dt.timedelta(seconds=expires_in) if expires_in else None
    return TokenUpdate(
        secrets=secrets,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=expires_at,
        next_refresh_in=schedule.compute_next_refresh_delay(
            expires_in,
            refresh_expires_in=tokens.refresh_expires_in,
            idle_days=facts.idle_days if facts else None,
        ),
        properties=read_changed_properties(
            get_registry().kinds[claim.row.kind], tokens, claim.row.properties
        ),
    )


def build_grant_columns(grant: Grant, update: TokenUpdate, now: dt.datetime) -> dict[str, Any]:
    """Return the columns of the grant that a refresh writes. `now` is the database's time."""
    new_token = update.refresh_token
    replaced = update.secrets.get("refresh_token")
    is_replaced = replaced is not None and new_token is not None and new_token.expose() != replaced
    next_in = update.next_refresh_in
    return {
        **NEW_GRANT,
        **NO_LEASE,
        "generation": grant.generation + 1,
        "previous": encrypt_previous_grant(grant, replaced) if replaced and is_replaced else None,
        "last_at": now,
        "next_at": None if next_in is None else now + dt.timedelta(seconds=next_in),
    }


def build_credential_columns(
    row: Credential, update: TokenUpdate, now: dt.datetime
) -> dict[str, Any]:
    """Return the columns of the credential that a refresh writes. `now` is the database's time."""
    new_secrets = update.get_new_secrets()
    fingerprints = dict(row.fingerprints)
    for name, value in new_secrets.items():
        fingerprint = compute_fingerprint(row.account_id, value)
        fingerprints[name] = add_refreshed(fingerprints.get(name, ()), fingerprint)
    # The mask for the kind's tokens, and the new expiry.
    fields = get_registry().kinds[row.kind].schema["properties"]
    masks = {name: MASK for name in new_secrets if name in fields}
    properties = {**row.properties, **update.properties, **masks}
    if "expires_at" in fields:
        properties.pop("expires_at", None)
        if update.expires_at is not None:
            properties["expires_at"] = format_rfc3339(update.expires_at)
    # Not `revision`, the version of what people edit: a refresh must not fail their If-Match.
    return {
        "secrets": encrypt_secrets(row.account_id, row.id, {**update.secrets, **new_secrets}),
        "fingerprints": fingerprints,
        "properties": properties,
        "expires_at": update.expires_at,
        "updated_at": now,
    }


def is_stored(row: Credential, update: TokenUpdate) -> bool:
    """Return True if the row has this very token: a COMMIT may work although its response is lost."""
    current = row.fingerprints.get("access_token", [""])[0]
    return bool(current == compute_fingerprint(row.account_id, update.access_token.expose()))
