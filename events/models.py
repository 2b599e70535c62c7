from __future__ import annotations

from django.db import models

from common.clock import DbNow
from common.ids import uuid7


class Event(models.Model):
    """One thing that happened. Rows are inserted and never changed: see docs/running.md for grants.

    `changed` holds names of fields, and never a value. The target may be gone, so it is no foreign
    key; the account stays as long as its events.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.PROTECT, related_name="+", db_index=False
    )
    verb = models.CharField(max_length=64)
    actor = models.CharField(max_length=160)
    target_type = models.CharField(max_length=32)
    target_id = models.UUIDField()
    changed = models.JSONField(default=list)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, default="")
    time = models.DateTimeField(db_default=DbNow())

    class Meta:
        indexes = [
            models.Index(fields=["account", "id"], name="event_account_newest"),
            models.Index(fields=["account", "target_id", "id"], name="event_account_target"),
            models.Index(fields=["account", "verb", "id"], name="event_account_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_id}"
