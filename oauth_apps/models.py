from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from vault.fields import SealedField


class OAuthApp(models.Model):
    """A client that the customer registered at a provider. `provider` and `client_id` never change."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    provider = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    client_id = models.CharField(max_length=255)
    redirect_uris = models.JSONField(default=list)
    scopes = models.JSONField(default=list)
    config = models.JSONField(default=dict)
    authorize_params = models.JSONField(default=dict, db_default={})
    metadata = models.JSONField(default=dict)
    health = models.JSONField(default=dict)
    health_status = models.GeneratedField(
        expression=KeyTextTransform("status", "health"),
        output_field=models.CharField(max_length=16),
        db_persist=True,
    )
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        verbose_name = "OAuth app"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "provider", "client_id"], name="oauthapp_client"
            ),
        ]
        indexes = [models.Index(fields=["account", "id"], name="oauthapp_newest")]

    def __str__(self) -> str:
        return self.name


class OAuthAppSecret(models.Model):
    """One client secret. During a rotation there are two; the database's clock orders them.

    Each is a row of its own, because a ciphertext is bound to its row: replacing a secret does not
    need to decrypt the former one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    app = models.ForeignKey(OAuthApp, models.CASCADE, related_name="secrets")
    sealed = SealedField()
    fingerprint = models.CharField(max_length=32)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        verbose_name = "OAuth app secret"

    def __str__(self) -> str:
        return str(self.id)
