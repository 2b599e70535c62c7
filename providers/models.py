from __future__ import annotations

from django.db import models

from common.db.clock import DbNow
from common.db.ids import uuid7


class CustomProvider(models.Model):
    """A service that one account registered, `custom.<name>`, for credentials of kind `custom_key`.

    Requests go to `base_url` with `prefix` and the key in the header `auth_header`.
    `blocked_endpoints` are `METHOD /path`, in which `*` matches any characters; `rate_limit` is the
    number of requests per hour, 0 for no limit.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="+")
    name = models.CharField(max_length=63)
    base_url = models.CharField("base URL", max_length=200)
    auth_header = models.CharField(max_length=64, default="Authorization")
    prefix = models.CharField(max_length=32, default="Bearer ", blank=True)
    blocked_endpoints = models.JSONField(default=list, blank=True)
    rate_limit = models.PositiveIntegerField(
        default=100, help_text="Requests per hour; 0 for none."
    )
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["account", "name"], name="custom_provider_name")
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def slug(self) -> str:
        return f"custom.{self.name}"
