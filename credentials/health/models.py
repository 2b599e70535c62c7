from __future__ import annotations

from django.db import models

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from credentials.models import Credential
from vault.fields import SealedField


class HealthChange(models.Model):
    """One change of status of a credential or an OAuth app. Rows are never updated.

    The target may be gone, so it is no foreign key.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    target_type = models.CharField(max_length=16)
    """credential | oauth_app"""
    target_id = models.UUIDField()
    before = models.CharField(max_length=16)
    after = models.CharField(max_length=16)
    source = models.CharField(max_length=16)
    code = models.CharField(max_length=64, blank=True)
    note = models.CharField(max_length=300, blank=True)
    time = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["account", "target_id", "id"], name="healthchange_target"),
            models.Index(
                fields=["time"],
                condition=models.Q(target_type="credential", after="error"),
                name="healthchange_errors",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_id}: {self.before} to {self.after}"


class ProbeState(models.Model):
    """The state of a credential's probes, in a narrow table so that neither row waits for the other.

    The worker inserts it (`registration.register_new`), so that an import of 100,000 rows need not.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="probe_state"
    )
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    provider = models.CharField(max_length=72)
    next_at = models.DateTimeField()
    """When the credential is due. While a worker probes it, when the lease ends."""
    urgent = models.BooleanField(default=False)
    """A caller's request was rejected: the probe does not wait for its provider's gate."""
    lease_owner = models.CharField(max_length=64, blank=True)
    failures = models.PositiveIntegerField(default=0)
    """Consecutive probes without a response."""
    silent_since = models.DateTimeField(null=True)
    """The time of the first of these."""
    cause = models.CharField(max_length=16, blank=True)
    """The source of the evidence that caused the present warn or error."""
    lost_scopes = models.TextField(blank=True, default="", db_default="")
    """Scopes that refreshes no longer bring, separated by blanks."""
    granted_at = models.DateTimeField(null=True)
    """When the present grant replaced another one; null: it is the first."""
    answered_at = models.DateTimeField(null=True)
    unavailable_at = models.DateTimeField(null=True)
    asked = models.PositiveIntegerField(default=0)
    asked_since = models.DateTimeField(null=True)
    """`asked` counts the checks by callers in the minute that began at this time."""

    class Meta:
        indexes = [
            models.Index(fields=["provider", "next_at"], name="probe_due"),
            models.Index(fields=["next_at"], condition=models.Q(urgent=True), name="probe_urgent"),
            models.Index(fields=["provider", "answered_at"], name="probe_answered"),
            models.Index(
                fields=["provider", "unavailable_at"],
                condition=models.Q(unavailable_at__isnull=False),
                name="probe_unavailable",
            ),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)


class UnreadableResponse(models.Model):
    """A token response that could not be read, at most one for a credential.

    It may contain the only copy of a grant, so it is kept until `expires_at`, or until the grant is
    replaced. See credentials/refresh/unreadable_responses.py.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    credential = models.OneToOneField(Credential, models.CASCADE, related_name="+")
    generation = models.PositiveIntegerField()
    """The generation of the grant that the refresh used."""
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=100, blank=True)
    size = models.PositiveIntegerField()
    """Of the whole body in bytes, of which the first 256 KiB are kept."""
    has_tokens = models.BooleanField()
    """The word `token` is in it."""
    sealed = SealedField()
    received_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="unreadable_expires")]

    def __str__(self) -> str:
        return str(self.credential_id)


class ProviderGate(models.Model):
    """When this provider may be probed again: all processes together keep one pace."""

    provider = models.CharField(max_length=72, primary_key=True)
    open_at = models.DateTimeField(db_default=DbNow())

    def __str__(self) -> str:
        return self.provider


class NoticeMail(models.Model):
    """A mail to a credential's owner, enqueued in the transaction that made the credential `error`.

    `outcome` is "" until it is sent or dropped, then sent | dropped (it works again) | failed.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    credential_id = models.UUIDField()
    to_email = models.CharField(max_length=254)
    note = models.CharField(max_length=300)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(db_default=DbNow())
    """When it is due. While a worker sends it, when the lease ends. Later, when it was sent."""
    lease_owner = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=16, blank=True)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(outcome=""), name="noticemail_due"),
            models.Index(fields=["credential_id", "created_at"], name="noticemail_credential"),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)
