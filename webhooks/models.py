from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from vault.fields import SealedField


class WebhookEndpoint(models.Model):
    """Where an account wants to be told of what happens.

    `failing_since` is the first failure since the last success, and `failures` how many there were.
    Until `quiet_until` nothing at all is sent: a receiver that is down is not asked for each of
    100,000 deliveries. `served_at` is when the last claim was made: who waited longest is next.
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
    """One signing secret. Two live while one replaces the other; the database's clock orders them.

    A row of its own, because a seal opens only in the row it was made for: a rotation never needs to
    open the one before.
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
    """One endpoint to be told of one transition: a row of the transaction that made it.

    `message_id` names the transition, the same for all endpoints, and is the `webhook-id` of every
    attempt. A pending row is due at `next_at`; null says that an earlier one of the same object goes
    first. While a worker sends, `lease_owner` is its name and `next_at` the end of its lease;
    `fence` grows with each claim, so that a worker that lost its lease can write nothing.

    The body is made of these columns (webhooks.payload) and is the same at each attempt.
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
    fence = models.PositiveIntegerField(default=0)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["endpoint", "id"], name="delivery_newest"),
            models.Index(
                fields=["endpoint", "next_at"], name="delivery_due", condition=Q(state="pending")
            ),
            models.Index(
                fields=["endpoint", "target_id", "created_at", "id"],
                name="delivery_order",
                condition=Q(state="pending"),
            ),
            models.Index(fields=["endpoint"], name="delivery_leased", condition=~Q(lease_owner="")),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.target_id}"
