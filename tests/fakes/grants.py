"""The tokens of a fake authorization server: every token that it issued, and its state."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class TokenFamily:
    """The tokens of one authorization by one user. One of the refresh tokens is `current`."""

    name: str
    current: str
    revoked: bool = False
    replaced: dict[str, float] = field(default_factory=dict)


class TokenStore:
    """`rotation` none | strict; `grace` seconds in which the token that was just replaced still works;
    `revoke_on_reuse`: using a replaced one later ends the whole family. Thread-safe.
    """

    def __init__(
        self, *, rotation: str = "strict", grace: float = 0, revoke_on_reuse: bool = True
    ) -> None:
        self.rotation = rotation
        self.grace = grace
        self.revoke_on_reuse = revoke_on_reuse
        self.shift = 0.0
        self.families: dict[str, TokenFamily] = {}
        """The newest of each user. Older ones live on: a user may authorize twice."""
        self.owners: dict[str, TokenFamily] = {}
        """Every token ever issued, and the family it is of."""
        self.reuses: list[str] = []
        self.revocations: list[str] = []
        self._numbers = itertools.count(1)
        self.lock = threading.RLock()

    def authorize(self, name: str) -> dict[str, Any]:
        """Add a grant of the user `name`, in addition to former ones."""
        with self.lock:
            family = self.families[name] = TokenFamily(name, "")
            family.current = self._issue("refresh", family)
            return {"refresh_token": family.current, "access_token": self._issue("access", family)}

    def refresh(self, token: str) -> dict[str, Any] | None:
        """New tokens, or None: invalid_grant."""
        with self.lock:
            family = self.owners.get(token)
            if family is None or family.revoked:
                return None
            if token != family.current and not self._in_grace(family, token):
                self._reused(family, token)
                return None
            if self.rotation != "none":
                family.replaced.setdefault(token, self.now())
                family.replaced.setdefault(family.current, self.now())
                family.current = self._issue("refresh", family)
            return {
                "refresh_token": family.current,
                "access_token": self._issue("access", family),
            }

    def revoke(self, token: str) -> None:
        with self.lock:
            self.revocations.append(token)
            family = self.owners.get(token)
            if family is not None and (token == family.current or token in family.replaced):
                family.revoked = True

    def is_alive(self, access_token: str) -> bool:
        family = self.owners.get(access_token)
        return family is not None and not family.revoked and access_token.startswith("access-")

    def issue_app_token(self) -> str:
        with self.lock:
            return self._issue("access", TokenFamily("app", ""))

    def now(self) -> float:
        return time.time() + self.shift

    def _in_grace(self, family: TokenFamily, token: str) -> bool:
        at = family.replaced.get(token)
        return at is not None and self.now() - at <= self.grace

    def _reused(self, family: TokenFamily, token: str) -> None:
        self.reuses.append(token)
        if self.revoke_on_reuse:
            family.revoked = True

    def _issue(self, kind: str, family: TokenFamily) -> str:
        token = f"{kind}-{family.name}-{next(self._numbers)}"
        self.owners[token] = family
        return token
