"""The only writers of endpoints, and of what they are told. `delivery` writes what became of it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any, Final, TypedDict

from django.db import transaction
from django.db.models import F

from accounts.models import Account
from common.actors import Actor
from common.api import etags
from common.api.etags import ETags
from common.db.clock import DbNow, db_now
from common.db.ids import uuid7
from common.errors import ConflictError, InvalidInputError, NotFoundError
from common.strict_json import is_equal
from egress import client, urls
from egress.allowlist import allowed_targets
from egress.errors import EgressError
from events.services import record_event
from vault.sealing import Place, seal
from webhooks import outbox, payload
from webhooks.event_types import EVENT_TYPES
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint, WebhookSecret

OLD_SECRET_LIFE: Final = dt.timedelta(hours=24)
MAX_ENDPOINTS: Final = 20
"""How many one account may have: each costs a row for each thing that happens."""

DELIVERY_RETENTION: Final = dt.timedelta(days=30)
TURNED_OFF: Final = "It was turned off."


class EndpointChanges(TypedDict, total=False):
    """What may change. `enabled: true` also forgets the failures that disabled it."""

    url: str
    events: list[str]
    enabled: bool


def enqueue_webhook(*, account_id: uuid.UUID, type: str, target_id: uuid.UUID) -> None:
    """Note that every endpoint of the account that wants `type` is to be told of this transition.

    Call it once for each transition, in the transaction that makes it and after its row is locked:
    that lock is what keeps the order of what one object's receivers hear. One statement where the
    account has no endpoint. `type` is one of webhooks.event_types.EVENT_TYPES, else ValueError.
    """
    enqueue_webhooks(account_id=account_id, events=[(type, target_id)])


def enqueue_webhooks(*, account_id: uuid.UUID, events: Iterable[tuple[str, uuid.UUID]]) -> None:
    """`tell` for each (type, target id): a look at the endpoints, and a statement for 2,000 rows."""
    outbox.insert_deliveries(account_id, events)


def endpoint_create(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    url: str,
    events: list[str],
    enabled: bool = True,
) -> tuple[uuid.UUID, str]:
    """The new endpoint's id and its secret, which is shown this once.

    Raises Invalid for a wrong type, or for a URL that egress does not go to: its name is resolved,
    so this is not called in a transaction. Conflict where the account has 20.
    """
    check_events(events)
    check_url(url)
    off: dict[str, Any] = {} if enabled else _turned_off(db_now())
    with transaction.atomic():
        # Two at once are counted one after the other.
        Account.objects.select_for_update(no_key=True).get(id=account_id)
        if WebhookEndpoint.objects.filter(account_id=account_id).count() >= MAX_ENDPOINTS:
            raise ConflictError(
                f"An account has at most {MAX_ENDPOINTS} endpoints; remove one first."
            )
        endpoint = WebhookEndpoint.objects.create(
            account_id=account_id, url=url, events=events, **off
        )
        secret = _add_secret(endpoint)
        _record(actor, endpoint, "created", ())
    return endpoint.id, secret


def endpoint_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: EndpointChanges,
    if_match: ETags | None = None,
) -> None:
    """Apply what differs; nothing is written, and no event, where nothing does.

    What is pending when an endpoint is disabled waits until it is enabled again; what happens
    meanwhile is not kept for it. Raises NotFound, Invalid, or PreconditionFailed.
    """
    if "events" in changes:
        check_events(changes["events"])
    if "url" in changes and _other_url(account_id, id, changes["url"]):
        check_url(changes["url"])
    with transaction.atomic():
        endpoint = _locked(account_id, id, if_match)
        differing = {
            n: new for n, new in changes.items() if not is_equal(new, getattr(endpoint, n))
        }
        if not differing:
            return
        columns: dict[str, Any] = dict(differing)
        if "enabled" in differing:
            columns |= _turned_on() if changes["enabled"] else _turned_off(db_now())
        elif "url" in differing:
            columns |= {"failures": 0, "quiet_until": None}  # Another receiver: asked at once.
        WebhookEndpoint.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        _record(actor, endpoint, "updated", list(differing))


def endpoint_delete(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = None
) -> None:
    """Remove the endpoint, its secrets and its deliveries, sent or not.

    Raises NotFound or PreconditionFailed.
    """
    with transaction.atomic():
        endpoint = _locked(account_id, id, if_match)
        # A million of them take seconds. `tell` waits only from the next lock on.
        WebhookDelivery.objects.filter(endpoint_id=id).delete()
        WebhookEndpoint.objects.select_for_update().get(id=id).delete()
        _record(actor, endpoint, "deleted", ())


def secret_rotate(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    drop_old_secret: bool = False,
    if_match: ETags | None = None,
) -> str:
    """A new secret, which is shown this once. The one before signs beside it for 24 hours.

    With `drop_old_secret` it ends at once: for one that leaked. A second rotation within the day
    ends the oldest. Raises NotFound or PreconditionFailed.
    """
    with transaction.atomic():
        endpoint = _locked(account_id, id, if_match)
        until = None if drop_old_secret else db_now() + OLD_SECRET_LIFE
        secret = _add_secret(endpoint)
        _keep_newest(id, 1 if drop_old_secret else 2)
        WebhookEndpoint.objects.filter(id=id).update(
            old_secret_until=until, revision=F("revision") + 1, updated_at=DbNow()
        )
        _record(actor, endpoint, "secret_rotated", ["secret"])
    return secret


def delivery_replay(
    *, account_id: uuid.UUID, endpoint_id: uuid.UUID, id: uuid.UUID, actor: Actor
) -> None:
    """Send it again, with the same `webhook-id`, from the start of the schedule.

    Of one that is pending, the next attempt is made now. Raises NotFound, or Conflict while it is
    being sent or its endpoint is disabled.
    """
    with transaction.atomic():
        endpoint = _locked(account_id, endpoint_id)
        found = WebhookDelivery.objects.filter(account_id=account_id, endpoint=endpoint, id=id)
        delivery = found.first()
        if delivery is None:
            raise NotFoundError()
        if not endpoint.enabled:
            raise ConflictError("The endpoint is disabled; enable it first.")
        # The endpoint's lock is the one that claims take: nobody starts to send it meanwhile.
        idle = found.exclude(state=DeliveryState.PENDING, next_at__gt=DbNow(), lease_owner__gt="")
        if not idle.update(
            state=DeliveryState.PENDING,
            next_at=DbNow(),
            attempts=0,
            lease_owner="",
            delivered_at=None,
        ):
            raise ConflictError("It is being sent now; look again in a minute.")
        WebhookEndpoint.objects.filter(id=endpoint_id).update(quiet_until=None)
        record_event(
            actor=actor,
            account_id=account_id,
            verb="webhook_delivery.replayed",
            target_type="webhook_delivery",
            target_id=id,
        )


def deliveries_prune(*, limit: int = 10_000) -> int:
    """Forget at most `limit` deliveries of more than 30 days ago that are not pending; how many."""
    before = db_now() - DELIVERY_RETENTION
    # Ids begin with the time they were made, so that the primary key finds the old ones.
    first_kept = uuid.UUID(int=int(before.timestamp() * 1000) << 80)
    old = WebhookDelivery.objects.filter(id__lt=first_kept, created_at__lt=before)
    ended = old.exclude(state=DeliveryState.PENDING).order_by("id")
    ids = list(ended.values_list("id", flat=True)[:limit])
    return WebhookDelivery.objects.filter(id__in=ids).delete()[0] if ids else 0


def check_url(url: str) -> None:
    """Raise Invalid unless egress goes there now. It resolves the name, and looks again at each use."""
    urls.parse_url(url, field="url", allowed=allowed_targets())
    try:
        client.check_url(url)
    except EgressError as error:
        raise InvalidInputError.for_field("url", error.reason) from None


def check_events(events: list[str]) -> None:
    if not events:
        raise InvalidInputError.for_field(
            "events", f"name at least one of {', '.join(EVENT_TYPES)}"
        )
    if not set(events) <= set(EVENT_TYPES):
        raise InvalidInputError.for_field(
            "events", f"has an unknown type; known are {', '.join(EVENT_TYPES)}"
        )


def _other_url(account_id: uuid.UUID, id: uuid.UUID, url: str) -> bool:
    rows = WebhookEndpoint.objects.filter(account_id=account_id, id=id, url=url)
    return not rows.exists()


def _turned_off(now: dt.datetime) -> dict[str, Any]:
    return {"enabled": False, "disabled_at": now, "disabled_reason": TURNED_OFF}


def _turned_on() -> dict[str, Any]:
    return {
        "disabled_at": None,
        "disabled_reason": "",
        "failing_since": None,
        "failures": 0,
        "quiet_until": None,
    }


def _locked(account_id: uuid.UUID, id: uuid.UUID, if_match: ETags | None = None) -> WebhookEndpoint:
    """The row, locked against claims and other changes, but not against `tell`."""
    rows = WebhookEndpoint.objects.select_for_update(no_key=True)
    endpoint = rows.filter(account_id=account_id, id=id).first()
    if endpoint is None:
        raise NotFoundError()
    etags.check_if_match(endpoint.revision, if_match)
    return endpoint


def _add_secret(endpoint: WebhookEndpoint) -> str:
    secret = payload.generate_secret()
    row = WebhookSecret(id=uuid7(), account_id=endpoint.account_id, endpoint=endpoint)
    row.sealed = seal(Place.of(row, "sealed"), secret)
    row.save(force_insert=True)
    return secret


def _keep_newest(endpoint_id: uuid.UUID, count: int) -> None:
    live = WebhookSecret.objects.filter(endpoint_id=endpoint_id).order_by("-created_at", "-id")
    WebhookSecret.objects.filter(id__in=list(live.values_list("id", flat=True))[count:]).delete()


def _record(actor: Actor, endpoint: WebhookEndpoint, verb: str, changed: Iterable[str]) -> None:
    record_event(
        actor=actor,
        account_id=endpoint.account_id,
        verb=f"webhook_endpoint.{verb}",
        target_type="webhook_endpoint",
        target_id=endpoint.id,
        changed=list(changed),
    )
