from __future__ import annotations

from django.conf import settings
from django.db import models

import accounts.otp_devices  # noqa: F401 - registers its models in this app
from common.db.clock import DbNow
from common.db.ids import uuid7
from vault.fields import SealedField


class Account(models.Model):
    """A tenant. All other objects belong to one account and are visible in it only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=63, unique=True)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Bearer(models.Model):
    """The columns that API tokens and sessions share. Of the string only a hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    # The string has 178 random bits, so a plain SHA-256 is enough (ASVS 5.0, 6.5.2).
    digest = models.BinaryField(max_length=32, unique=True)
    prefix = models.CharField(max_length=16)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


class ApiToken(Bearer):
    """A token with which a program acts in one account. `scopes` are from common.scopes.ALL."""

    name = models.CharField(max_length=200)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=160)

    class Meta:
        verbose_name = "API token"
        permissions = [("mint_apitoken", "Can create API tokens that use or reveal secrets")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Session(Bearer):
    """A staff user's session of the API, for one account. It ends when the user is deactivated."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    # The user's session hash at login: a new password changes it, which ends the session.
    auth_hash = models.CharField(max_length=128, editable=False)

    def __str__(self) -> str:
        return f"{self.user} ({self.prefix}…)"


class IdempotencyRecord(models.Model):
    """A request with an Idempotency-Key, and its response (accounts.idempotency).

    Neither the key nor the body is stored, only keyed hashes of them. Each claim has a new `id`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    bearer_id = models.UUIDField()
    key_digest = models.BinaryField(max_length=32)
    fingerprint = models.BinaryField(max_length=32)
    answer = SealedField(null=True)
    """None while the request runs."""
    held_until = models.DateTimeField(db_index=True)
    """While the request runs, the end of its lease; then, until when its response is replayed."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["bearer_id", "key_digest"], name="accounts_idempotency_key"
            )
        ]

    def __str__(self) -> str:
        return f"request {self.id}"


class RateLimitOverride(models.Model):
    """Another quota than the default for an account, or with `bearer_id` for one of its tokens."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    bearer_id = models.UUIDField(null=True)
    name = models.CharField(max_length=32)
    requests = models.PositiveIntegerField()
    seconds = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.name}: {self.requests} in {self.seconds} s"
