"""Who does something: carried from the entry point (API, admin, command) to every service."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """`name` reads like `token:0198…`, `user:7` or `command:import_credentials`.

    `request_id` and `ip` are None where there was no request.
    """

    name: str
    request_id: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated caller of the API: one account, and what the token or session may do."""

    account_id: uuid.UUID
    actor: Actor
    scopes: frozenset[str]
    bearer_id: uuid.UUID
    is_session: bool
    is_authenticated: bool = True


def get_command_actor(name: str) -> Actor:
    return Actor(name=f"command:{name}")


def get_principal(request: Any) -> Principal:
    """The caller of a view that is not public."""
    principal = request.user
    if not isinstance(principal, Principal):
        raise TypeError("A public view has no caller.")
    return principal
