from __future__ import annotations

from typing import Final

from django.db import models

SINGLETON_ID: Final = 1


class Statistics(models.Model):
    """The single row of figures, in the format of `statistics.Figures`; null: never counted.

    Until `claimed_until` a process is counting, and no other process starts.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON_ID)
    figures = models.JSONField(null=True)
    counted_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        verbose_name_plural = "statistics"

    def __str__(self) -> str:
        return str(self.counted_at)
