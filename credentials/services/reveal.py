"""Showing a credential's real values: rarely, with a reason, and on the record before anything is shown."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

from django.db import connection, transaction

from common.actors import Actor
from common.db import dialect
from common.db.clock import db_now
from common.errors import ConflictError, NotFoundError, TooManyRequestsError
from credentials.core.usage import mark_used
from credentials.models import Credential, Reveal
from events.services import record_event
from vault.sealing import Place, unseal

MAX_REVEALS_PER_HOUR: Final = 10
"""How many one actor gets within an hour: who needs more wants the proxy or /token."""

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
    """The properties with their real values; with `only`, that one's alone, and the rest masked.

    Event, reason and last use are committed before this returns; the event names what was shown, and why.
    Raises NotFound, TooMany (429) after ten within an hour, SecretUnavailable (409) for a row that
    does not open, Conflict (409) where it holds no secret `only`.
    """
    with transaction.atomic():
        row = Credential.objects.filter(account_id=account_id, id=id).first()
        if row is None:
            raise NotFoundError()
        _hold_back(actor)
        secrets: dict[str, str] = {}
        if row.secrets is not None:
            secrets = unseal(Place.of(row, "secrets"), row.secrets)
        if secret_name is not None:
            secrets = _the_one(secrets, secret_name)
        Reveal.objects.create(
            account_id=account_id, credential_id=id, actor=actor.name, reason=reason
        )
        record_event(
            actor=actor,
            account_id=account_id,
            verb="credential.revealed",
            target_type="credential",
            target_id=id,
            changed=sorted(secrets),
            detail={"reason": reason},
        )
        mark_used(id=id)
    return {**row.properties, **secrets}


def _the_one(secrets: dict[str, str], name: str) -> dict[str, str]:
    if name not in secrets:
        raise ConflictError(f"It holds no {name} any more. Look at the credential again.")
    return {name: secrets[name]}


def _hold_back(actor: Actor) -> None:
    """Raise TooMany for an actor with AN_HOUR reveals, in whichever accounts.

    Two at once are counted one after the other.
    """
    if dialect.is_postgresql():
        with connection.cursor() as cursor:
            key = f"reveal {actor.name}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
    now = db_now()
    mine = Reveal.objects.filter(actor=actor.name, time__gt=now - _HOUR)
    times = list(mine.order_by("-time").values_list("time", flat=True)[:MAX_REVEALS_PER_HOUR])
    if len(times) == MAX_REVEALS_PER_HOUR:
        wait = times[-1] + _HOUR - now
        raise TooManyRequestsError(
            f"At most {MAX_REVEALS_PER_HOUR} credentials are revealed to one caller in an hour.",
            retry_after=max(int(wait.total_seconds()) + 1, 1),
        )
