"""Actors and principals, which every entry point passes to the services it calls."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The author of a change, as the audit log names it: `token:0198…`, `user:7`, `command:export`.

    `request_id` and `ip` are None outside a request.
    """

    name: str
    request_id: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated caller of the API: one account, and the scopes of the token or session."""

    account_id: uuid.UUID
    actor: Actor
    scopes: frozenset[str]
    bearer_id: uuid.UUID
    is_session: bool
    is_authenticated: bool = True


def get_command_actor(name: str) -> Actor:
    """Return the actor of the management command `name`."""
    return Actor(name=f"command:{name}")
