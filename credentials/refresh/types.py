"""Values that the modules of this package exchange. Their repr shows no secret."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field

from common.actors import Actor
from credentials.models import Credential
from vault.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AccessToken:
    """An access token for immediate use. `expires_at` is None if the provider does not state it."""

    access_token: Secret
    token_type: str
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshClaim:
    """The right to refresh one grant until the lease ends. `row` was read when it was claimed.

    `claimed_at` is the database's time. `start_seconds` is this process's monotonic clock, which
    deadlines are measured with.
    """

    row: Credential
    owner: str
    claimed_at: dt.datetime
    actor: Actor
    start_seconds: float = field(default_factory=time.monotonic)

    @property
    def generation(self) -> int:
        return self.row.generation

    @property
    def may_have_succeeded_before(self) -> bool:
        """Return True if an earlier attempt with this grant has no known outcome."""
        return self.row.refresh_unknowns > 1
