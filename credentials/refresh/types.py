"""What goes in and comes out. None of it shows a secret when it is printed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.actors import Actor
from credentials.models import Credential
from vault.sealing import Place, unseal
from vault.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AccessToken:
    """An access token to be used now. `expires_at` None: its provider does not say."""

    access_token: Secret
    token_type: str
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshClaim:
    """The right to refresh one grant, until the lease ends. `row` is as it was when claimed.

    `claimed_at` is the database's time; `started` this process's monotonic clock, for deadlines.
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
        """Whether an earlier attempt with this grant may have succeeded without our knowing."""
        return self.row.refresh_unknowns > 1


def decrypt_previous_grant(row: Credential) -> Mapping[str, Any]:
    """The grant of the generation before, {} where none is kept. Raises SecretUnavailable."""
    if row.previous is None:
        return {}
    previous: dict[str, Any] = unseal(Place.of(row, "previous"), row.previous)
    return previous
