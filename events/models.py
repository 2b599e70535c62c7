from __future__ import annotations

from django.db import models

from common.db.clock import DbNow
from common.db.ids import uuid7
from events.sequence import NextPosition


class Event(models.Model):
    """One entry of the audit log. Rows are inserted and never changed: see docs/running.md for grants.

    `changed` has names of fields, and never a value. `detail` has the facts of a use (method, status
    and so on, but no content) or the reason of a reveal, and is null for other verbs.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.PROTECT, related_name="+", db_index=False
    )
    verb = models.CharField(max_length=64)
    actor = models.CharField(max_length=160)
    target_type = models.CharField(max_length=32)
    # Not a foreign key: the target may be deleted. An account with events cannot be.
    target_id = models.UUIDField()
    changed = models.JSONField(default=list)
    detail = models.JSONField(null=True)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, default="")
    time = models.DateTimeField(db_default=DbNow())
    position = models.BigIntegerField(null=True, editable=False, db_default=NextPosition())
    """The event's place in the order of all accounts' events. Null if Latchkey did not write it."""

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


class EventCheckpoint(models.Model):
    """A batch of events, any change of which can be found. Rows are inserted and never changed.

    The batch has the events with positions after the `upto` of the checkpoint before, up to its own:
    `count` of them. `digest` is an HMAC over the checkpoint before and the batch. `mark_position` says
    how far the next batch may go once all transactions older than `mark_xact` have ended.
    """

    number = models.BigIntegerField(primary_key=True)
    upto = models.BigIntegerField()
    count = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    mark_position = models.BigIntegerField()
    mark_xact = models.BigIntegerField()
    sealed_at = models.DateTimeField(db_default=DbNow())

    class Meta:
        # The name from before the model was renamed: operators' grants name it (docs/running.md).
        db_table = "events_eventseal"

    def __str__(self) -> str:
        return str(self.number)
