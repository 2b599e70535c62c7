from __future__ import annotations

from django.db import models

from common.db.clock import DbNow
from common.db.ids import uuid7
from events.sequence import NextPosition


class Event(models.Model):
    """One thing that happened. Rows are inserted and never changed: see docs/running.md for grants.

    `changed` holds names of fields, and never a value; `detail` the facts of a use (method, status
    and so on; no content) or the reason of a reveal, null for other verbs. The target may be gone, so it is no foreign key;
    the account stays as long as its events.
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
    detail = models.JSONField(null=True)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, default="")
    time = models.DateTimeField(db_default=DbNow())
    position = models.BigIntegerField(null=True, editable=False, db_default=NextPosition())
    """Its place in the order of all accounts' events; null says that no service of ours wrote it."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["position"], name="event_position")]
        indexes = [
            models.Index(fields=["account", "id"], name="event_account_newest"),
            models.Index(fields=["account", "target_id", "id"], name="event_account_target"),
            models.Index(fields=["account", "verb", "id"], name="event_account_verb"),
            models.Index(fields=["account", "actor", "id"], name="event_account_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_id}"


class EventSeal(models.Model):
    """A batch of events that can no longer be changed unnoticed. Rows are inserted and never changed.

    It stands for the events with positions over the seal before's `upto`, up to its own: `count` of
    them. `digest` is an HMAC over the seal before and the batch. `mark_position` says how far the
    next batch may go once all transactions older than `mark_xact` have ended.
    """

    number = models.BigIntegerField(primary_key=True)
    upto = models.BigIntegerField()
    count = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    mark_position = models.BigIntegerField()
    mark_xact = models.BigIntegerField()
    sealed_at = models.DateTimeField(db_default=DbNow())

    def __str__(self) -> str:
        return str(self.number)
