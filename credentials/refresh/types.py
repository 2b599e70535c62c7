"""Values that the modules of this package exchange. Their repr shows no secret."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field

from common.actors import Actor
from credentials.models import Credential, Grant
from credentials.refresh.schedule import SHORTEST_LEASE
from providers.registry import get_registry
from vault.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AccessToken:
    """An access token for immediate use. `expires_at` is None if the provider does not state it."""

    access_token: Secret
    token_type: str
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshClaim:
    """The right to refresh one grant until the lease ends.

    `row` is a credential of the grant. Both were read when the grant was claimed.

    `claimed_at` is the database's time. `lease_seconds` is how long the lease lasts if this process
    dies; it is renewed while the request is under way. `start_seconds` is this process's monotonic clock, which
    deadlines are measured with.
    """

    row: Credential
    owner: str
    claimed_at: dt.datetime
    actor: Actor
    lease_seconds: int = SHORTEST_LEASE
    start_seconds: float = field(default_factory=time.monotonic)

    @property
    def grant(self) -> Grant:
        grant = self.row.grant
        assert grant is not None  # noqa: S101 - for the type checker: only grants are claimed
        return grant

    @property
    def generation(self) -> int:
        return self.grant.generation

    @property
    def may_have_succeeded_before(self) -> bool:
        """Return True if an earlier attempt with this grant has no known outcome."""
        return self.grant.unknowns > 0

    @property
    def grace_seconds(self) -> int | None:
        """Seconds for which the provider still accepts a replaced grant; None if it does not say."""
        oauth = get_registry().get_oauth(self.row.properties["kind"])
        return oauth.refresh.grace_seconds if oauth else None

    @property
    def rotates(self) -> bool | None:
        """Return True if the provider replaces refresh tokens; None if it does not say."""
        oauth = get_registry().get_oauth(self.row.properties["kind"])
        return oauth.refresh.rotates if oauth else None

    @property
    def seconds_in_doubt(self) -> float:
        """Seconds since the first attempt whose outcome is unknown; 0 if this is the first."""
        since = self.grant.in_doubt_since
        if not self.may_have_succeeded_before or since is None:
            return 0.0
        return (self.claimed_at - since).total_seconds()

    def is_within_grace(self) -> bool:
        """Return True if a lost response can be made good now, and no more after the grace."""
        return (
            self.may_have_succeeded_before
            and self.grace_seconds is not None
            and self.seconds_in_doubt <= self.grace_seconds
        )
