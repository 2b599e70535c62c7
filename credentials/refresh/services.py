"""Access tokens for /token, /refresh, the proxy and the probes."""

from __future__ import annotations

import datetime as dt
import random
import time
import uuid
from typing import Final

from django.db import transaction
from django.db.models import Q

from common.actors import Actor
from common.concurrency import require_capacity, sleep
from common.db.clock import DbNow, db_now
from common.errors import NotFoundError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import ACTIVE, PAUSED, is_leased
from credentials.core.grants import lock_or_create_grant
from credentials.core.locks import lock_credential
from credentials.core.usage import mark_used
from credentials.health.services import report_undecryptable
from credentials.models import Credential, Grant
from credentials.refresh import attempt, lease, spool
from credentials.refresh.errors import RefreshInProgressError
from credentials.refresh.freshness import Freshness
from credentials.refresh.restored_database import require_current_database
from credentials.refresh.types import AccessToken
from credentials.restore.holds import require_not_waiting
from events.services import EventTarget, record_event
from providers.registry import get_registry
from vault.secret import Secret

MAX_WAIT_SECONDS: Final = 12.0
"""The time that a caller waits for a refresh by another process."""

MAX_START_SECONDS: Final = 3.0
"""The time after which it starts no refresh itself any more."""

MAX_RESTORE_WAIT_SECONDS: Final = 2.0
"""The time that a caller waits while the grants that a restore may have outdated are marked."""

# Most refreshes take a few hundred milliseconds, so the first waits are short.
_FIRST_SLEEP: Final = (0.02, 0.08)
_LATER_SLEEP: Final = (0.15, 0.35)

_GRANT_TIMES: Final = ("grant__last_at", "grant__next_at")

_random = random.SystemRandom()


def token_issue(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> AccessToken:
    """Return a token that lives for at least 60 s, and record who got it.

    Raises what `get_fresh_token` raises.
    """
    token = get_fresh_token(account_id=account_id, id=id, actor=actor)
    # Recorded before it is returned: a token is one secret that leaves without the right to reveal.
    with transaction.atomic():
        mark_used(id=id)
        record_event(actor, EventTarget("credential", account_id, id), "credential.token_issued")
    return token


def get_fresh_token(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    min_seconds: int = 60,
    force: bool = False,
    min_interval: int = 0,
) -> AccessToken:
    """Return an access token that lives for `min_seconds` more, refreshed if needed.

    A token whose lifetime is short counts as fresh during the first half of it. `force` also
    refreshes a fresh token, but concurrent callers that force share one refresh. While it is on
    hold, nothing is refreshed, and a token is returned until it expires. With
    `min_interval` (seconds), a forced refresh respects back-off and pauses, and is skipped if the
    last refresh is less than that ago.

    Raises NotFoundError; ConflictError with `extra["code"]` needs_reauth, on_hold or not_refreshable;
    SecretUnavailableError; or, within 15 s, ServiceUnavailableError with `retry_after` and `extra["code"]`
    provider_unavailable, app_paused, refresh_in_progress or database_restored. Must not be called in a transaction.
    """
    start = time.monotonic()
    first_generation: int | None = None
    while True:
        # Read again in each round: another process may have refreshed it.
        freshness = _read_freshness(account_id, id, min_seconds)
        grant = freshness.grant
        if first_generation is None:
            first_generation = grant.generation
        forced = (
            force
            and grant.generation == first_generation
            and not freshness.is_refreshed_within(min_interval)
        )
        if not forced and freshness.is_fresh(first_generation=first_generation):
            return _decrypt_access_token(freshness.row, actor)
        _require_refreshable(freshness)
        waited = time.monotonic() - start
        if is_leased(grant, freshness.now):
            _wait_for_other_process(freshness, waited)
            continue
        if not forced or min_interval:
            freshness.require_not_deferred(ignore_rejected_token=forced)
        if waited > MAX_START_SECONDS:
            raise RefreshInProgressError()
        if token := _refresh(freshness, actor, forced=forced, start=start):
            return token
        # Another process claimed or changed the row first: start again.


def grant_refresh_soon(*, account_id: uuid.UUID, id: uuid.UUID, min_interval: int) -> None:
    """Let the worker refresh the grant, at least `min_interval` seconds after the last refresh.

    For a kind without a probe, whose refresh alone tells whether its provider still accepts it.
    Does nothing for other kinds and for grants that have ended.
    """
    rows = Credential.objects.filter(account_id=account_id, id=id, grant__state=ACTIVE)
    row = rows.select_related("grant").only("kind", "grant", *_GRANT_TIMES).first()
    kind = get_registry().get_kind(row.kind) if row else None
    if row is None or row.grant is None or kind is None:
        return
    if kind.probe is not None or not kind.refreshes:
        return
    grant, earliest = row.grant, db_now()
    if grant.last_at is not None:
        earliest = max(earliest, grant.last_at + dt.timedelta(seconds=min_interval))
    if grant.next_at is not None and grant.next_at > earliest:
        grants = Grant.objects.filter(
            id=grant.id, state=ACTIVE, on_hold=False, next_at=grant.next_at
        )
        grants.update(next_at=earliest)


def _wait_for_other_process(freshness: Freshness, waited: float) -> None:
    """Sleep shortly. Raise RefreshInProgressError if it makes no sense to wait any longer."""
    in_doubt_for = freshness.get_seconds_in_doubt()
    if in_doubt_for is not None and in_doubt_for > MAX_WAIT_SECONDS - waited:
        raise RefreshInProgressError(in_doubt_for=in_doubt_for)
    if waited > MAX_WAIT_SECONDS:
        raise RefreshInProgressError()
    require_capacity()
    sleep(_random.uniform(*(_FIRST_SLEEP if waited < 0.5 else _LATER_SLEEP)))


def _require_refreshable(freshness: Freshness) -> None:
    """Raise an error if neither waiting for another process nor a refresh can bring a token."""
    if freshness.grant.state == PAUSED:
        # Raises SecretUnavailableError until the missing key is back.
        decrypt_secrets(freshness.row)
    freshness.require_refreshable()
    require_not_waiting(freshness.row)


def _refresh(
    freshness: Freshness, actor: Actor, *, forced: bool, start: float
) -> AccessToken | None:
    """Claim the grant, call the provider and store the outcome, for a caller who waits since `start`.

    Returns None if another process claimed or changed the row first.
    """
    row = freshness.row
    require_capacity()
    require_current_database(patience=MAX_RESTORE_WAIT_SECONDS)
    # The spool may have a newer grant, from a response that could not be stored. Using the stored
    # one now would make a strict provider revoke both.
    spool.replay_one(row.id)
    claim = lease.claim_grant(
        row=row,
        actor=actor,
        stale=Q() if forced else freshness.build_stale_filter(),
        lease_seconds=lease.get_lease_seconds(row.provider),
    )
    if claim is None:
        return None
    return attempt.run_attempt(claim, patience=attempt.CALLER_PATIENCE - (time.monotonic() - start))


def _decrypt_access_token(row: Credential, actor: Actor) -> AccessToken:
    with report_undecryptable(account_id=row.account_id, credential_id=row.id, actor=actor):
        token = Secret(decrypt_secrets(row)["access_token"])
    return AccessToken(access_token=token, token_type="Bearer", expires_at=row.expires_at)  # noqa: S106


def _read_freshness(account_id: uuid.UUID, id: uuid.UUID, min_seconds: int) -> Freshness:
    rows = Credential.objects.filter(account_id=account_id, id=id).annotate(now=DbNow())
    rows = rows.select_related("grant", "oauth_app__refresh_pause").defer("metadata", "health")
    row = rows.first()
    if row is None:
        raise NotFoundError()
    freshness = Freshness(row, row.now, min_seconds)
    if row.grant is None and freshness.is_refreshable():
        with transaction.atomic():
            row.grant = lock_or_create_grant(lock_credential(account_id, id))
    return freshness
