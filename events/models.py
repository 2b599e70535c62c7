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
    """A batch of events of all accounts, any change of which can be found. Rows are only inserted.

    The batch has the events with positions after the `upto` of the checkpoint before, up to its own:
    `count` of them. `mark_position` says how far the next batch may go once all transactions older
    than `mark_xact` have ended. `version` says what `digest` covers: see events.digests.
    """

    number = models.BigIntegerField(primary_key=True)
    upto = models.BigIntegerField()
    count = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    mark_position = models.BigIntegerField()
    mark_xact = models.BigIntegerField()
    sealed_at = models.DateTimeField(db_default=DbNow())
    # The default is for processes of the release before, which write version 1 during an upgrade.
    version = models.SmallIntegerField(db_default=1)
    continued = models.BooleanField(db_default=False)
    """True if its worker ran since before the batch's events came, so that it knows why they waited."""

    class Meta:
        # The name from before the model was renamed: operators' grants name it (docs/running.md).
        db_table = "events_eventseal"

    def __str__(self) -> str:
        return str(self.number)


class AccountCheckpoint(models.Model):
    """The next part of one account's chain: its events of the checkpoint `round`.

    They have the places `first`, `first + 1` and so on in the chain, `count` of them. `digest` is an
    HMAC over the account's checkpoint before, the time and the events.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.PROTECT, related_name="+", db_index=False
    )
    number = models.BigIntegerField()
    round = models.BigIntegerField()
    first = models.BigIntegerField()
    count = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="account_checkpoint_number")
        ]
        indexes = [models.Index(fields=["round"], name="account_checkpoint_round")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.number}"


class SealingDelay(models.Model):
    """A known reason why events waited long for their checkpoint: those after `after` up to `upto`.

    `checkpoint` is the digest of the checkpoint that covers them, or null if there was none yet.
    `digest` is an HMAC over the row.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    after = models.BigIntegerField()
    upto = models.BigIntegerField()
    checkpoint = models.BinaryField(max_length=32, null=True)
    reason = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    digest = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.after} to {self.upto}"
