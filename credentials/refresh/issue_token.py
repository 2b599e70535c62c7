"""Handing a token to a caller: the one secret that leaves without the right to reveal."""

from __future__ import annotations

import uuid

from django.db import transaction

from common.actors import Actor
from credentials.core.usage import mark_used
from credentials.refresh.services import get_fresh_token
from credentials.refresh.types import AccessToken
from events.services import EventTarget, record_event


def token_issue(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> AccessToken:
    """A token for at least 60 seconds. Who got it is written down before it is returned.

    Raises what `fresh_token` does.
    """
    fresh = get_fresh_token(account_id=account_id, id=id, actor=actor)
    with transaction.atomic():
        mark_used(id=id)
        record_event(actor, EventTarget("credential", account_id, id), "credential.token_issued")
    return fresh
