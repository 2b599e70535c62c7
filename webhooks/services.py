"""The writers of webhook endpoints and secrets; `outbox` and `delivery` write deliveries."""

from __future__ import annotations

import datetime as dt
import uuid
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
from egress import EgressError, client, urls
from egress.policy import allowed_targets
from events.services import EventTarget, record_event
from vault.sealing import Place, seal
from webhooks import payload
from webhooks.event_types import EVENT_TYPES
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint, WebhookSecret

OLD_SECRET_LIFE: Final = dt.timedelta(hours=24)
# Each endpoint of an account costs a row for each event.
MAX_ENDPOINTS: Final = 20
DELIVERY_RETENTION: Final = dt.timedelta(days=30)
_REASON_TURNED_OFF: Final = "It was turned off."


class EndpointChanges(TypedDict, total=False):
    """The fields that may change. `enabled: true` also clears the failures that disabled it."""

    url: str
    events: list[str]
    enabled: bool


def endpoint_create(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    url: str,
    events: list[str],
    enabled: bool = True,
) -> tuple[uuid.UUID, str]:
    """Create an endpoint; return its id and its secret, which is never shown again.

    Raises InvalidInputError for an unknown type, or for a URL that egress rejects; it resolves the
    URL's host, so it must not be called in a transaction. Raises ConflictError if the account has
    20 endpoints.
    """
    check_events(events)
    # Before the transaction, because resolving the host may take seconds.
    check_url(url)
    disabled: dict[str, Any] = {} if enabled else _build_disabled_columns(db_now())
    with transaction.atomic():
        # The account's lock makes concurrent requests count one after the other.
        Account.objects.select_for_update(no_key=True).get(id=account_id)
        if WebhookEndpoint.objects.filter(account_id=account_id).count() >= MAX_ENDPOINTS:
            raise ConflictError(
                f"An account has at most {MAX_ENDPOINTS} endpoints; remove one first."
            )
        endpoint = WebhookEndpoint.objects.create(
            account_id=account_id, url=url, events=events, **disabled
        )
        secret = _add_secret(endpoint)
        target = EventTarget("webhook_endpoint", account_id, endpoint.id)
        record_event(actor, target, "webhook_endpoint.created")
    return endpoint.id, secret


def endpoint_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: EndpointChanges,
    if_match: ETags | None = None,
) -> None:
    """Apply the changes that differ; write nothing, and record no event, if none does.

    Pending deliveries of a disabled endpoint wait until it is enabled again. Events that happen
    while it is disabled are not kept for it. Raises NotFoundError, InvalidInputError or
    PreconditionFailedError.
    """
    if "events" in changes:
        check_events(changes["events"])
    if "url" in changes:
        same_url = WebhookEndpoint.objects.filter(account_id=account_id, id=id, url=changes["url"])
        # A URL that is stored already was checked, and its host may be down just now.
        if not same_url.exists():
            check_url(changes["url"])
    with transaction.atomic():
        endpoint = _lock_endpoint(account_id, id, if_match)
        differing = {
            n: new for n, new in changes.items() if not is_equal(new, getattr(endpoint, n))
        }
        if not differing:
            return
        columns: dict[str, Any] = dict(differing)
        if "enabled" in differing:
            enabled = changes["enabled"]
            columns |= _ENABLED_COLUMNS if enabled else _build_disabled_columns(db_now())
        elif "url" in differing:
            # The failures were those of another receiver.
            columns |= {"failures": 0, "quiet_until": None}
        WebhookEndpoint.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        target = EventTarget("webhook_endpoint", account_id, id)
        record_event(actor, target, "webhook_endpoint.updated", list(differing))


def endpoint_delete(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = None
) -> None:
    """Delete the endpoint, its secrets and its deliveries, also pending ones.

    Raises NotFoundError or PreconditionFailedError.
    """
    with transaction.atomic():
        _lock_endpoint(account_id, id, if_match)
        # A million deliveries take seconds. `enqueue` waits only from the next lock on.
        WebhookDelivery.objects.filter(endpoint_id=id).delete()
        WebhookEndpoint.objects.select_for_update().get(id=id).delete()
        target = EventTarget("webhook_endpoint", account_id, id)
        record_event(actor, target, "webhook_endpoint.deleted")


def secret_rotate(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    drop_old_secret: bool = False,
    if_match: ETags | None = None,
) -> str:
    """Create a new secret and return it; it is never shown again.

    The former secret signs too for 24 hours, unless `drop_old_secret` ends it at once because it
    leaked. A second rotation within the day ends the oldest of three. Raises NotFoundError or
    PreconditionFailedError.
    """
    with transaction.atomic():
        endpoint = _lock_endpoint(account_id, id, if_match)
        until = None if drop_old_secret else db_now() + OLD_SECRET_LIFE
        secret = _add_secret(endpoint)
        # At most the two newest secrets sign a delivery.
        newest_first = endpoint.secrets.order_by("-created_at", "-id").values_list("id", flat=True)
        surplus = list(newest_first)[1 if drop_old_secret else 2 :]
        WebhookSecret.objects.filter(id__in=surplus).delete()
        WebhookEndpoint.objects.filter(id=id).update(
            old_secret_until=until, revision=F("revision") + 1, updated_at=DbNow()
        )
        target = EventTarget("webhook_endpoint", account_id, id)
        record_event(actor, target, "webhook_endpoint.secret_rotated", ["secret"])
    return secret


def delivery_replay(
    *, account_id: uuid.UUID, endpoint_id: uuid.UUID, id: uuid.UUID, actor: Actor
) -> None:
    """Send a delivery again, with the same `webhook-id`, from the start of the schedule.

    If it is pending, the next attempt is made now. Raises NotFoundError, or ConflictError while it
    is being sent or its endpoint is disabled.
    """
    with transaction.atomic():
        endpoint = _lock_endpoint(account_id, endpoint_id)
        rows = WebhookDelivery.objects.filter(account_id=account_id, endpoint=endpoint, id=id)
        if not rows.exists():
            raise NotFoundError()
        if not endpoint.enabled:
            raise ConflictError("The endpoint is disabled; enable it first.")
        # Claims need the endpoint's lock too, so no worker starts to send the delivery now.
        idle = rows.exclude(state=DeliveryState.PENDING, next_at__gt=DbNow(), lease_owner__gt="")
        # From the start of the schedule: what made it fail is probably repaired by now.
        if not idle.update(
            state=DeliveryState.PENDING,
            next_at=DbNow(),
            attempts=0,
            lease_owner="",
            delivered_at=None,
        ):
            raise ConflictError("It is being sent now; look again in a minute.")
        # A person asked for this attempt, so it does not wait for the quiet period.
        WebhookEndpoint.objects.filter(id=endpoint_id).update(quiet_until=None)
        target = EventTarget("webhook_delivery", account_id, id)
        record_event(actor, target, "webhook_delivery.replayed")


def deliveries_prune(*, limit: int = 10_000) -> int:
    """Delete at most `limit` deliveries older than 30 days that have ended; return how many."""
    before = db_now() - DELIVERY_RETENTION
    # A UUIDv7 begins with its creation time, so the primary key finds the old rows.
    first_kept = uuid.UUID(int=int(before.timestamp() * 1000) << 80)
    old = WebhookDelivery.objects.filter(id__lt=first_kept, created_at__lt=before)
    ended = old.exclude(state=DeliveryState.PENDING).order_by("id")
    ids = list(ended.values_list("id", flat=True)[:limit])
    return WebhookDelivery.objects.filter(id__in=ids).delete()[0] if ids else 0


def check_url(url: str) -> None:
    """Raise InvalidInputError if egress rejects the URL. This resolves its host.

    The host may resolve to another address later: egress checks the URL again at each attempt.
    """
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


_ENABLED_COLUMNS: Final[dict[str, Any]] = {
    "disabled_at": None,
    "disabled_reason": "",
    "failing_since": None,
    "failures": 0,
    "quiet_until": None,
}


def _build_disabled_columns(now: dt.datetime) -> dict[str, Any]:
    return {"enabled": False, "disabled_at": now, "disabled_reason": _REASON_TURNED_OFF}


def _lock_endpoint(
    account_id: uuid.UUID, id: uuid.UUID, if_match: ETags | None = None
) -> WebhookEndpoint:
    """Return the row, locked against claims and other changes, but not against new deliveries."""
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
