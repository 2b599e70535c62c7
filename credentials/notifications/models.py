from __future__ import annotations

from django.db import models

from common.db.clock import DbNow
from common.db.ids import uuid7


class Incident(models.Model):
    """Something that staff have to look at, from when it was noticed until it was over."""

    class Kind(models.TextChoices):
        APP_REJECTED = "app_rejected", "OAuth app rejected"
        PROVIDER_OUTAGE = "provider_outage", "Provider outage"
        MANY_ERRORS = "many_errors", "Many credentials failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    subject = models.CharField(max_length=72, blank=True)
    """The id of the app or the slug of the provider. Many errors are about the whole server."""
    note = models.CharField(max_length=300)
    count = models.PositiveIntegerField(db_default=0)
    """Credentials that are affected, as far as they are known."""
    account_ids = models.JSONField(default=list)
    """The accounts whose audit log and webhooks have it."""
    opened_at = models.DateTimeField(db_default=DbNow())
    closed_at = models.DateTimeField(null=True)
    opening_settled_at = models.DateTimeField(null=True)
    """When a mail about it was sent, or when it was decided that none is."""
    closing_settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(closed_at__isnull=True),
                name="incident_open_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(opening_settled_at__isnull=True),
                name="incident_unsent_opening",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(closed_at__isnull=False, closing_settled_at__isnull=True),
                name="incident_unsent_closing",
            ),
        ]

    def __str__(self) -> str:
        return self.note


class StaffDigest(models.Model):
    """The one row that decides which worker looks for incidents, and when staff get the next mail."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    next_at = models.DateTimeField(db_default=DbNow())
    """When incidents are looked for again. While a worker does it, when the lease ends."""
    lease_owner = models.CharField(max_length=64, blank=True, db_default="")
    sent_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(db_default=0)
    """Consecutive mails that the mail server did not accept."""
    failing_since = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=200, blank=True, db_default="")

    def __str__(self) -> str:
        return str(self.id)
