"""Verbs that were renamed. An event that was stored before keeps the former word."""

from __future__ import annotations

from typing import Final

# Stored events are never rewritten: the hash chain covers their verbs (events.hash_chain).
FORMER_VERBS: Final = {
    "account.secret_searched": "account.secret_sought",
    "connect.discarded": "connect.dropped",
    "connect.expired": "connect.lapsed",
    "credential.revocation_failed": "credential.not_revoked",
    "credential.secret_echoed": "credential.echoed",
}
_CURRENT_VERBS: Final = {former: verb for verb, former in FORMER_VERBS.items()}


def list_stored_verbs(verb: str) -> list[str]:
    """Return every word under which events of `verb` may be stored."""
    return [verb, FORMER_VERBS[verb]] if verb in FORMER_VERBS else [verb]


def get_current_verb(stored: str) -> str:
    """Return today's word for the verb of a stored event."""
    return _CURRENT_VERBS.get(stored, stored)
