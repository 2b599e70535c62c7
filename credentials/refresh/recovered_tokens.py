"""Tokens from kept responses, which a later version of the parser, or a provider's quirk, can read."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from django.db.models import Q

from common.actors import Actor
from common.db.clock import db_now
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import ACTIVE, NEEDS_REAUTH, get_grant
from credentials.health.models import UnreadableResponse
from credentials.models import Credential
from credentials.refresh import lease, token_storage
from credentials.refresh.token_update import TokenUpdate, build_token_update
from credentials.refresh.types import RefreshClaim
from credentials.refresh.unreadable_responses import decrypt_response
from oauth_apps.client_config import get_authorization_server
from oauth_apps.protocol import OAuth2Error, TokenResponse
from oauth_apps.protocol.responses import parse_token_response

ParseResult = Literal["stored", "readable", "unreadable", "superseded", "busy"]


def parse_stored_response(
    row: UnreadableResponse, *, actor: Actor, dry_run: bool = False
) -> ParseResult:
    """Parse the response again, and store its tokens if that works and its grant is still there.

    A response whose tokens are stored, or whose grant was replaced, is deleted. Raises
    SecretUnavailableError.
    """
    rows = Credential.objects.select_related("oauth_app", "grant")
    credential = rows.filter(id=row.credential_id).first()
    if credential is None or get_grant(credential).generation != row.generation:
        if not dry_run:
            row.delete()
        return "superseded"
    tokens = _parse_tokens(row, credential)
    if tokens is None:
        return "unreadable"
    if dry_run:
        return "readable"
    is_stored = _store_tokens(row, credential, tokens, actor)
    if is_stored:
        UnreadableResponse.objects.filter(id=row.id).delete()
    return "stored" if is_stored else "busy"


def _parse_tokens(row: UnreadableResponse, credential: Credential) -> TokenResponse | None:
    app = credential.oauth_app
    if app is None:
        return None
    try:
        oauth, _ = get_authorization_server(app, credential.kind)
        return parse_token_response(decrypt_response(row).to_response(), oauth, refreshing=True)
    except OAuth2Error:
        return None


def _store_tokens(
    row: UnreadableResponse, credential: Credential, tokens: TokenResponse, actor: Actor
) -> bool:
    """Store the tokens as a refresh of that time. Return False if the grant has changed or is busy."""
    state = get_grant(credential).state
    if state == ACTIVE:
        # A refresh that is under way would overtake these tokens.
        claim = lease.claim_grant(row=credential, actor=actor, stale=Q())
        if claim is None:
            return False
        return token_storage.store_success(claim, _build_update(row, claim, tokens))
    if state != NEEDS_REAUTH:
        return False
    claim = RefreshClaim(row=credential, owner="", claimed_at=row.received_at, actor=actor)
    # The provider has rejected the former grant since, so only the next refresh shows if it accepts
    # this one: until then health stays as it is.
    update = replace(_build_update(row, claim, tokens), next_refresh_in=0)
    return token_storage.store_recovered_tokens(claim, update)


def _build_update(
    row: UnreadableResponse, claim: RefreshClaim, tokens: TokenResponse
) -> TokenUpdate:
    received = replace(claim, claimed_at=row.received_at)
    update = build_token_update(received, tokens, decrypt_secrets(claim.row))
    if update.next_refresh_in is None:
        return update
    age = (db_now() - row.received_at).total_seconds()
    return replace(update, next_refresh_in=max(update.next_refresh_in - age, 0))
