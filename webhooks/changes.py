"""Recording a change of an object that customers subscribe to: an event and its webhooks together.

The event is in the audit log and the deliveries are in the outbox if and only if the transaction that
made the change commits. Changes without a webhook are recorded by `events.services.record_event`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from common.actors import Actor
from events.services import EventTarget, NewEvent, record_event, record_events
from webhooks.outbox import enqueue


def record_change(
    actor: Actor,
    target: EventTarget,
    verb: str,
    changed: Sequence[str] = (),
    *,
    webhook: str | None = None,
) -> None:
    """Append one event and enqueue its webhook, whose type is `webhook`, otherwise the verb.

    Call it once per change, in the transaction that makes it and after its row is locked: receivers
    get the webhooks of one object in the order of these locks. Raises ValueError for a type that is
    not one of webhooks.event_types.
    """
    record_event(actor, target, verb, changed)
    enqueue(target.account_id, [(webhook or verb, target.id)])


def record_changes(
    actor: Actor,
    account_id: uuid.UUID,
    target_type: str,
    events: Sequence[NewEvent],
    *,
    webhook: str | None = None,
) -> None:
    """Do the same for several changes of one account.

    It takes one statement for the events and one per 2,000 deliveries.
    """
    if events:
        record_events(actor, account_id, target_type, events)
        enqueue(account_id, [(webhook or event.verb, event.target_id) for event in events])
