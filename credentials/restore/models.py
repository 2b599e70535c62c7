from __future__ import annotations

import uuid

from django.db import models

from common.db.clock import DbNow
from common.db.ids import uuid7
from credentials.models import Credential


class DatabaseMark(models.Model):
    """The one row that tells a database from an earlier copy of itself.

    Workers count `number` up every ten seconds and note it outside the database (`mark_file`). If a
    process has seen a higher one than the database has, the database went back.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    installation = models.UUIDField(default=uuid.uuid4, editable=False)
    """Copies of a database have the same one, other databases have another."""
    identity = models.CharField(max_length=160, blank=True)
    """The place of the database when it was last known to be the current one (`identity`)."""
    number = models.BigIntegerField(db_default=0)
    epoch = models.UUIDField(default=uuid.uuid4, editable=False)
    """The last DatabaseRestore, or another value if there was none."""
    counted_at = models.DateTimeField(db_default=DbNow())
    """When `number` was last counted up."""

    def __str__(self) -> str:
        return str(self.installation)


class DatabaseRestore(models.Model):
    """One time that the database went back, to its state of `restored_to`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    restored_to = models.DateTimeField()
    recognised_at = models.DateTimeField(db_default=DbNow())
    reason = models.CharField(max_length=16)
    """mark (a higher number was seen) | timeline | system | copy | journal | declared"""
    marked_at = models.DateTimeField(null=True)
    """When all grants in question were marked. No grant is refreshed before."""

    def __str__(self) -> str:
        return str(self.restored_to)


class RestoredGrant(models.Model):
    """A grant that may have been replaced after the time to which the database was restored.

    It says nothing about the credential any more once its `generation` is another one.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="restored"
    )
    generation = models.PositiveIntegerField()
    restore = models.ForeignKey(DatabaseRestore, models.CASCADE, related_name="+", db_index=False)
    resumed_at = models.DateTimeField(null=True)
    """Null: it is not refreshed until a person decides."""
    noted_at = models.DateTimeField(null=True)
    """When the health of the credential got its note."""

    class Meta:
        indexes = [
            models.Index(
                fields=["credential"],
                condition=models.Q(noted_at__isnull=True),
                name="restoredgrant_unnoted",
            ),
            models.Index(
                fields=["credential"],
                condition=models.Q(resumed_at__isnull=True),
                name="restoredgrant_waiting",
            ),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)
