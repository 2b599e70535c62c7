"""The outcomes of a dry run, which must not say if a guessed secret is the stored one.

Who may write a credential need not know its secret. A password can be guessed, and a dry run changes
nothing that its owner would notice. Keys that a provider generates cannot be guessed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from common.actors import Actor
from common.errors import InvalidInputError
from credentials.imports.secret_input import is_password, reject_placeholders
from credentials.imports.upsert import ImportOutcome
from credentials.imports.validation import ImportItem
from events.services import EventTarget, record_event
from providers.properties import get_identity_values

COMPARED_EVENT: Final = "account.secrets_compared"


def hide_comparisons(
    items: Sequence[ImportItem], outcomes: Sequence[ImportOutcome]
) -> list[ImportOutcome]:
    """Return the outcomes with one result for a right and a wrong guess: updated, or created."""
    return [_hide_comparison(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]


def count_comparisons(items: Sequence[ImportItem], outcomes: Sequence[ImportOutcome]) -> int:
    """Return how many items could have been guesses of a stored secret."""
    return sum(
        has_guessable_secret(item) and (is_found_by_secret(item) or outcome.result != "created")
        for item, outcome in zip(items, outcomes, strict=True)
    )


def record_comparisons(*, account_id: uuid.UUID, actor: Actor, count: int) -> None:
    """Record that a dry run had this many items that could have been guesses."""
    target = EventTarget("account", account_id, account_id)
    record_event(actor, target, COMPARED_EVENT, detail={"lines": count})


def has_guessable_secret(item: ImportItem) -> bool:
    """Return True if the item has a secret that people choose: a password, or a custom service's key."""
    return any(is_password(name) or item.kind.provider == "custom" for name in item.secrets)


def is_found_by_secret(item: ImportItem) -> bool:
    """Return True if the row of the item is found by its secret, so that a wrong one is a new row."""
    identity = get_identity_values(item.kind, item.properties)
    return not item.external_id and (identity is None or item.kind.identity_with_secret)


def _hide_comparison(item: ImportItem, outcome: ImportOutcome) -> ImportOutcome:
    if outcome.error is not None or not has_guessable_secret(item):
        return outcome
    if is_found_by_secret(item):
        return replace(outcome, result="created", id=None)
    if outcome.result == "created":
        return outcome
    try:
        # An import rejects a placeholder only if it is not what is stored.
        reject_placeholders(item.secrets)
    except InvalidInputError as error:
        return ImportOutcome("rejected", error=error)
    return replace(outcome, result="updated")
