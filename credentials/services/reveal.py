"""Reveal a credential's secrets: rate limited, with a reason, and recorded before they are returned."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

from django.db import transaction

from accounts.services import find_responsible_person, list_token_actors
from common.actors import Actor
from common.db import dialect
from common.db.clock import db_now
from common.errors import ConflictError, NotFoundError, TooManyRequestsError
from credentials.core.encryption import decrypt_secrets
from credentials.health.models import UnreadableResponse
from credentials.health.services import report_undecryptable
from credentials.models import Credential, Reveal
from credentials.refresh.unreadable_responses import StoredResponse, find_unreadable_response
from events.services import EventTarget, record_event

MAX_REVEALS_PER_HOUR: Final = 10
"""The limit of one person over all accounts, with the API tokens that the person created in the admin.

A program that needs more uses the proxy or /token."""

MAX_REASON_LENGTH: Final = 500
_HOUR: Final = dt.timedelta(hours=1)


def credential_reveal(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    reason: str,
    secret_name: str | None = None,
) -> dict[str, Any]:
    """Return the properties with their secrets. With `secret_name`, the other secrets stay masked.

    The event, the reason and the last use are committed before this returns. The event names the
    secrets that were revealed, and the reason.

    Raises NotFoundError; TooManyRequestsError after ten reveals within an hour;
    SecretUnavailableError if the row cannot be decrypted; ConflictError if it has no `secret_name`.
    """
    # Outside of the transaction, which an error undoes.
    with (
        report_undecryptable(account_id=account_id, credential_id=id, actor=actor),
        transaction.atomic(),
    ):
        row = Credential.objects.filter(account_id=account_id, id=id).first()
        if row is None:
            raise NotFoundError()
        # Before anything is decrypted: beyond the limit, no secret is in memory.
        _check_rate(actor)
        secrets = decrypt_secrets(row)
        if secret_name is not None:
            if secret_name not in secrets:
                raise ConflictError(
                    f"The credential no longer has the secret {secret_name}. Reload the page."
                )
            secrets = {secret_name: secrets[secret_name]}
        _record_reveal(account_id, id, actor, reason, sorted(secrets))
    return {**row.properties, **secrets}


def credential_reveal_response(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, reason: str
) -> StoredResponse:
    """Return the token response of the credential that could not be read.

    It counts and is recorded as a reveal of secrets. Raises what `credential_reveal` raises, and
    NotFoundError if no response is kept.
    """
    with transaction.atomic():
        if not UnreadableResponse.objects.filter(account_id=account_id, credential_id=id).exists():
            raise NotFoundError("No token response is kept for this credential.")
        _check_rate(actor)
        response = find_unreadable_response(account_id, id)
        if response is None:
            raise NotFoundError("No token response is kept for this credential.")
        _record_reveal(account_id, id, actor, reason, ["token_response"])
    return response


def _record_reveal(
    account_id: uuid.UUID, id: uuid.UUID, actor: Actor, reason: str, names: list[str]
) -> None:
    Reveal.objects.create(account_id=account_id, credential_id=id, actor=actor.name, reason=reason)
    target = EventTarget("credential", account_id, id)
    record_event(actor, target, "credential.revealed", names, detail={"reason": reason})


def _check_rate(actor: Actor) -> None:
    """Raise TooManyRequestsError if the person has used up the reveals of the last hour."""
    person = find_responsible_person(actor.name)
    # Otherwise two concurrent reveals would both count nine rows before they insert the tenth.
    dialect.execute_on_postgresql(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"reveal {person}"]
    )
    now = db_now()
    actors = [person, *list_token_actors(person)]
    rows = Reveal.objects.filter(actor__in=actors, time__gt=now - _HOUR)
    times = list(rows.order_by("-time").values_list("time", flat=True)[:MAX_REVEALS_PER_HOUR])
    if len(times) == MAX_REVEALS_PER_HOUR:
        wait = times[-1] + _HOUR - now
        raise TooManyRequestsError(
            f"You have used the {MAX_REVEALS_PER_HOUR} reveals that are allowed in an hour.",
            retry_after=max(int(wait.total_seconds()) + 1, 1),
        )
