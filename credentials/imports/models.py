from __future__ import annotations

from django.db import models

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from vault.fields import SealedField


class ImportDraft(models.Model):
    """An uploaded file that waits for confirmation, and afterwards the report of its import.

    `state`: shown | running | done. `content` is the file; it is deleted by the import. `report` is
    the preview, and then the result. It has line numbers, names and reasons, and no secret.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    actor = models.CharField(max_length=160)
    filename = models.CharField(max_length=200)
    format = models.CharField(max_length=8)
    state = models.CharField(max_length=8, default="shown")
    content = SealedField(null=True)
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["created_at"], name="importdraft_age")]

    def __str__(self) -> str:
        return self.filename
