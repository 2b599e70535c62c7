"""A provider's answer as the columns of the row it belongs to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.datetimes import format_rfc3339
from credentials.core.encryption import encrypt_secrets
from credentials.core.grant_state import NEW_GRANT, NO_LEASE, add_refreshed
from credentials.models import Credential
from credentials.refresh import schedule
from credentials.refresh.types import AccessToken, RefreshClaim
from oauth_apps.protocol import TokenResponse
from providers.kinds import Kind
from providers.properties import MASK
from providers.registry import get_registry
from vault.sealing import Place, SealedValue, seal
from vault.secret import Secret
from vault.services import compute_fingerprint


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenUpdate:
    """New tokens, and the secrets of the row they go beside. `refresh_token` None: it stays."""

    secrets: Mapping[str, str]
    access_token: Secret
    refresh_token: Secret | None
    expires_at: dt.datetime | None
    next_refresh_in: float | None

    def to_access_token(self) -> AccessToken:
        return AccessToken(
            access_token=self.access_token,
            token_type="Bearer",  # noqa: S106 - a type, no token
            expires_at=self.expires_at,
        )


def build_token_update(
    claim: RefreshClaim, tokens: TokenResponse, held: Mapping[str, str]
) -> TokenUpdate:
    """What is to be stored of `tokens`. Lifetimes count from the claim, which was before the answer.

    Where the provider does not say how long a token lives, its file may (`access_token_seconds`).
    """
    provider = get_registry().get_provider(claim.row.provider)
    facts = provider.oauth.refresh if provider and provider.oauth else None
    expires_in = tokens.expires_in or (facts.access_token_seconds if facts else None)
    expires_at = claim.claimed_at + dt.timedelta(seconds=expires_in) if expires_in else None
    return TokenUpdate(
        secrets=held,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=expires_at,
        next_refresh_in=schedule.compute_next_refresh_delay(
            expires_in,
            refresh_expires_in=tokens.refresh_expires_in,
            idle_days=facts.idle_days if facts else None,
        ),
    )


def build_refresh_columns(
    row: Credential, renewal: TokenUpdate, now: dt.datetime
) -> dict[str, Any]:
    """Every column that a successful refresh writes into `row`; `now` is the database's time.

    Not its revision: that is of what people edit, and no refresh makes their If-Match fail.
    """
    news = _news(renewal)
    next_in = renewal.next_refresh_in
    return {
        **NEW_GRANT,
        **NO_LEASE,
        "generation": row.generation + 1,
        "secrets": encrypt_secrets(row.account_id, row.id, {**renewal.secrets, **news}),
        "previous": _previous(row, renewal),
        "fingerprints": _fingerprints(row, news),
        "properties": _properties(row, renewal, news),
        "expires_at": renewal.expires_at,
        "refresh_last_at": now,
        "refresh_next_at": None if next_in is None else now + dt.timedelta(seconds=next_in),
        "updated_at": now,
    }


def is_stored(row: Credential, renewal: TokenUpdate) -> bool:
    """Whether the row holds this very answer: after a COMMIT whose own answer was lost."""
    current = row.fingerprints.get("access_token", [""])[0]
    return bool(current == compute_fingerprint(row.account_id, renewal.access_token.expose()))


def _news(renewal: TokenUpdate) -> dict[str, str]:
    news = {"access_token": renewal.access_token.expose()}
    if renewal.refresh_token is not None:
        news["refresh_token"] = renewal.refresh_token.expose()
    return news


def _previous(row: Credential, renewal: TokenUpdate) -> SealedValue | None:
    before = renewal.secrets.get("refresh_token")
    if before is None or renewal.refresh_token in (None, Secret(before)):
        return None
    return seal(Place.of(row, "previous"), {"refresh_token": before})


def _fingerprints(row: Credential, news: Mapping[str, str]) -> dict[str, list[str]]:
    prints = dict(row.fingerprints)
    for name, value in news.items():
        new = compute_fingerprint(row.account_id, value)
        prints[name] = add_refreshed(prints.get(name, ()), new)
    return prints


def _properties(row: Credential, renewal: TokenUpdate, news: Mapping[str, str]) -> dict[str, Any]:
    """What is shown: asterisks for the tokens that the kind has, and the new expiry."""
    known = _kind(row).schema["properties"]
    properties = {**row.properties, **{name: MASK for name in news if name in known}}
    if "expires_at" in known:
        properties.pop("expires_at", None)
        if renewal.expires_at is not None:
            properties["expires_at"] = format_rfc3339(renewal.expires_at)
    return properties


def _kind(row: Credential) -> Kind:
    kind = get_registry().get_kind(row.kind)
    if kind is None:
        raise LookupError(f"{row.kind} is no kind of the provider files")
    return kind
