from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from vault.fields import SealedField


class WebhookEndpoint(models.Model):
    """A URL of the customer's that subscribes to some event types of an account.

    `failing_since` is the first failure since the last success, `failures` the number of failures
    since then. Nothing is sent until `quiet_until`, so that a receiver that is down does not get
    100,000 requests. `served_at` is the time of the last claim: the endpoint that has waited longest
    is next.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    url = models.CharField(max_length=2048)
    events = models.JSONField(default=list)
    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    quiet_until = models.DateTimeField(null=True, editable=False)
    served_at = models.DateTimeField(null=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        indexes = [models.Index(fields=["account", "id"], name="endpoint_newest")]

    def __str__(self) -> str:
        return self.url


class WebhookSecret(models.Model):
    """One signing secret. During a rotation there are two; the database's clock orders them.

    Each is a row of its own, because a ciphertext is bound to its row: a rotation does not need to
    decrypt the former secret.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="secrets")
    sealed = SealedField()
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    def __str__(self) -> str:
        return str(self.id)


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(models.Model):
    """One event to be sent to one endpoint: a row of the transaction that made the change.

    `message_id` identifies the event, the same for all endpoints, and is the `webhook-id` of every
    attempt. A pending row is due at `next_at`; null means that an earlier delivery of the same
    object goes first. `common.leases` describes `next_at`, `lease_owner` and `fencing_number`.

    The body consists of these columns (`webhooks.payload`) and is the same at each attempt.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint, models.CASCADE, related_name="deliveries", db_index=False
    )
    message_id = models.UUIDField()
    type = models.CharField(max_length=64)
    target_id = models.UUIDField()
    state = models.CharField(
        max_length=16, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, db_default=DbNow())
    lease_owner = models.CharField(max_length=64, blank=True, default="")
    fencing_number = models.PositiveIntegerField(default=0, db_column="fence")
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["endpoint", "id"], name="delivery_newest"),
            # Ended deliveries are kept for 30 days: the partial indexes stay small without them.
            models.Index(
                fields=["endpoint", "next_at"], name="delivery_due", condition=Q(state="pending")
            ),
            models.Index(
                fields=["endpoint", "target_id", "created_at", "id"],
                name="delivery_order",
                condition=Q(state="pending"),
            ),
            # Each claim counts the deliveries in flight, which are few.
            models.Index(fields=["endpoint"], name="delivery_leased", condition=~Q(lease_owner="")),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.target_id}"
