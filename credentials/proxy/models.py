from __future__ import annotations

from django.db import models

from common.db.clock import DbNow
from credentials.models import Credential


class CredentialPolicy(models.Model):
    """The requests that the proxy allows with a credential. Null: no restriction of that kind.

    `methods` and `paths` are lists. In a path pattern `*` matches any characters.
    `rate_requests` in `rate_seconds` applies to all processes together, `concurrency` to each one.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="proxy_policy"
    )
    methods = models.JSONField(null=True)
    paths = models.JSONField(null=True)
    rate_requests = models.PositiveIntegerField(null=True)
    rate_seconds = models.PositiveIntegerField(null=True)
    concurrency = models.PositiveIntegerField(null=True)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        verbose_name_plural = "credential policies"

    def __str__(self) -> str:
        return str(self.credential_id)


class Window(models.Model):
    """The recent requests of a credential, for its provider's limit over `seconds`.

    `used_N` counts the newest ninth of the interval whose number ends in N. `slot` is the newest ninth.
    """

    pk = models.CompositePrimaryKey("credential_id", "seconds")
    credential = models.ForeignKey(Credential, models.CASCADE, related_name="+")
    seconds = models.PositiveIntegerField()
    slot = models.BigIntegerField()
    used_0 = models.IntegerField()
    used_1 = models.IntegerField()
    used_2 = models.IntegerField()
    used_3 = models.IntegerField()
    used_4 = models.IntegerField()
    used_5 = models.IntegerField()
    used_6 = models.IntegerField()
    used_7 = models.IntegerField()
    used_8 = models.IntegerField()
    used_9 = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.credential_id} in {self.seconds} s"


class Allowance(models.Model):
    """The part of its rate that a credential has used, as times in seconds since 1970.

    `spent_until`: when all that was used is earned again (the generic cell rate algorithm).
    `held_until`: the end of the pause that the provider asked for (Retry-After).
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="allowance"
    )
    spent_until = models.FloatField(db_default=0)
    held_until = models.FloatField(db_default=0)

    def __str__(self) -> str:
        return str(self.credential_id)
