from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Account
from common.clock import DbNow
from common.ids import uuid7
from oauth_apps.models import OAuthApp
from vault.fields import SealedField


class Credential(models.Model):
    """One credential of one upstream account.

    `properties` is stored exactly as it is shown, secret fields as the mask; their real values are
    one JSON object in `secrets`. So showing a row opens no seal and computes nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(
        OAuthApp, models.PROTECT, null=True, related_name="credentials", db_index=False
    )
    provider = models.CharField(max_length=72)
    name = models.CharField(max_length=200, blank=True)
    owner_email = models.CharField(max_length=254, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    properties = models.JSONField()
    metadata = models.JSONField(default=dict)
    health = models.JSONField()
    kind = models.GeneratedField(
        expression=KeyTextTransform("kind", "properties"),
        output_field=models.CharField(max_length=64),
        db_persist=True,
    )
    health_status = models.GeneratedField(
        expression=KeyTextTransform("status", "health"),
        output_field=models.CharField(max_length=16),
        db_persist=True,
    )
    secrets = SealedField(null=True)
    fingerprints = models.JSONField(default=dict)
    """{secret field: [current, imported]}, keyed hashes (vault.services.fingerprint)."""
    identity = models.BinaryField(max_length=32)
    """Which upstream account this is, as a keyed hash (vault.services.identity)."""
    obtained_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "identity"], name="credential_identity"),
        ]
        # Ids are time-ordered, so each list, newest first, is one index read backwards.
        indexes = [
            models.Index(fields=["account", "id"], name="credential_newest"),
            models.Index(fields=["account", "provider", "id"], name="credential_provider"),
            models.Index(fields=["account", "kind", "id"], name="credential_kind"),
            models.Index(fields=["account", "health_status", "id"], name="credential_health"),
            models.Index(fields=["oauth_app", "id"], name="credential_oauth_app"),
            models.Index(fields=["account", "expires_at"], name="credential_expires"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.properties.get("name") or self.id)


class CredentialUse(models.Model):
    """When a credential was last put on a request or handed out.

    A narrow table of its own, so that use never waits for the lock of a refresh.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="use"
    )
    last_used_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.credential_id)


class Revocation(models.Model):
    """What a deleted credential could still do at its provider, until the worker has ended it.

    The values are sealed for this row; they are cleared once used, or after 7 days.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    oauth_app = models.ForeignKey(OAuthApp, models.SET_NULL, null=True, related_name="+")
    credential_id = models.UUIDField()
    kind = models.CharField(max_length=64)
    properties = models.JSONField()
    sealed = SealedField(null=True)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    def __str__(self) -> str:
        return str(self.credential_id)
