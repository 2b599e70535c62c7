from __future__ import annotations

from django.db import models

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from oauth_apps.models import OAuthApp
from vault.fields import SealedField


class FlowModel(models.Model):
    """The fields of a link or an attempt that say who created it and how long it lasts."""

    created_by = models.CharField(max_length=160)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        abstract = True


class ConnectLink(FlowModel):
    """A page on which one person connects one account; the browser of the first click owns it.

    `open`: no browser owns it yet; `opened`: a browser owns it; `pending`: the grant waits until the company
    completes it. The other statuses are final.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        OPENED = "opened"
        PENDING = "pending"
        COMPLETED = "completed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(OAuthApp, models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True)
    owner_email = models.CharField(max_length=254, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    metadata = models.JSONField(null=True)
    properties = models.JSONField(default=dict)
    """Set by the company: the variables of the provider's URLs, such as a subdomain."""
    scopes = models.JSONField(default=list)
    return_to = models.CharField(max_length=2048, blank=True)
    # No foreign key: the credential may be deleted while the link is open.
    reconnects = models.UUIDField(null=True)
    """The id of the credential that gets the new grant."""
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    token_digest = models.BinaryField(max_length=32, unique=True)
    browser_digest = models.BinaryField(max_length=32, null=True)
    credential_id = models.UUIDField(null=True)
    failure = models.JSONField(null=True)
    """Why the last try failed: {code, detail, time}; null if none did."""
    notes = models.JSONField(default=list)

    class Meta:
        indexes = [
            models.Index(fields=["account", "id"], name="connectlink_newest"),
            models.Index(fields=["status", "expires_at"], name="connectlink_due"),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.kind} ({self.id})"


class AuthorizationAttempt(FlowModel):
    """One redirect to the provider and back, in one browser and within ten minutes.

    `sealed` has the PKCE verifier, which is cleared on return, the company's own state and our code,
    for a browser that repeats its request. It is cleared an hour after the attempt's time. Of the
    state, the start token and the browser's id only hashes are stored.
    """

    class Flow(models.TextChoices):
        AUTHORIZE = "authorize", "documented: /link/oauth2/authorize"
        START = "start", "documented: start-auth"
        LINK = "link", "connect link"

    class Status(models.TextChoices):
        READY = "ready"
        WAITING = "waiting"
        RETURNED = "returned"
        GRANTED = "granted"
        FAILED = "failed"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(OAuthApp, models.CASCADE, related_name="+")
    link = models.ForeignKey(ConnectLink, models.CASCADE, null=True, related_name="attempts")
    flow = models.CharField(max_length=16, choices=Flow)
    kind = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status)
    start_digest = models.BinaryField(max_length=32, null=True, unique=True)
    state_digest = models.BinaryField(max_length=32, null=True, unique=True)
    browser_digest = models.BinaryField(max_length=32, null=True)
    issuer = models.CharField(max_length=512, blank=True)
    callback = models.CharField(max_length=512)
    """The redirect URI of ours that was sent to the provider."""
    return_to = models.CharField(max_length=2048, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    challenge = models.CharField(max_length=43, blank=True)
    """The company's own PKCE challenge (S256), if it sent one."""
    properties = models.JSONField(default=dict)
    scopes = models.JSONField(default=list)
    sealed = SealedField(null=True)
    failure = models.JSONField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "id"], name="attempt_newest"),
            models.Index(fields=["status", "expires_at"], name="attempt_due"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(sealed__isnull=False),
                name="attempt_sealed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.id})"


class PendingGrant(models.Model):
    """A grant that was obtained and is not yet a credential: in no list, and unusable.

    `sealed` is the import body with its real values, and the company's state. A grant of a documented
    flow is exchanged by `code_digest`; one of a link is completed by the company. If that does not
    happen within ten minutes, the grant is revoked at its provider.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        # The stored value and its label stay, as the migrations have them.
        EXCHANGED = "taken", "Taken"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(OAuthApp, models.PROTECT, null=True, related_name="+")
    attempt = models.OneToOneField(
        AuthorizationAttempt, models.SET_NULL, null=True, related_name="grant"
    )
    link = models.OneToOneField(ConnectLink, models.SET_NULL, null=True, related_name="grant")
    kind = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    code_digest = models.BinaryField(max_length=32, null=True, unique=True)
    return_to = models.CharField(max_length=2048, blank=True)
    challenge = models.CharField(max_length=43, blank=True)
    sealed = SealedField()
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="pendinggrant_due")]

    def __str__(self) -> str:
        return f"{self.kind} ({self.id})"


class ConnectSettings(models.Model):
    """Settings of connecting, of one OAuth app or (without one) of the account.

    `completes_itself`: a link's credential is stored without the company's confirmation; see
    docs/connect.md for the risk. `short_callback`: the redirect URI at the provider is the documented
    one, without the app's id. `return_urls`: the addresses to which links without an OAuth app may
    send users back.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    oauth_app = models.OneToOneField(OAuthApp, models.CASCADE, null=True, related_name="+")
    return_urls = models.JSONField(default=list)
    completes_itself = models.BooleanField(default=False)
    short_callback = models.BooleanField(default=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=models.Q(oauth_app=None),
                name="connectsettings_account",
            ),
        ]

    def __str__(self) -> str:
        return str(self.oauth_app_id or self.account_id)
