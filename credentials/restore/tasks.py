"""The worker's task after a restore: notes on the health of waiting grants, and cleaning up."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import F, Q

from common.actors import Actor
from common.db.clock import DbNow
from common.periodic_tasks import PeriodicTask
from credentials.core.grant_state import NEEDS_REAUTH
from credentials.health.evidence import Evidence
from credentials.health.services import record_evidence
from credentials.restore.models import RestoredGrant

BATCH: Final = 100
CODE: Final = "database_restored"
_ACTOR: Final = Actor(name="worker")
_NOTE: Final = (
    "The database was restored to its state of {time}, and the provider may have replaced this grant"
    " since. It is not refreshed until the operator decides. Its access token is used until it"
    " expires."
)


def note_waiting_grants() -> bool:
    """Add a note to the health of some credentials whose grants wait. Return True if more may."""
    rows = RestoredGrant.objects.select_related("restore", "credential").filter(noted_at=None)
    grants = list(
        rows.only("restore", "generation", "credential__account_id").order_by("pk")[:BATCH]
    )
    for grant in grants:
        with transaction.atomic():
            # Another worker may have been first.
            unnoted = RestoredGrant.objects.filter(pk=grant.pk, noted_at=None)
            if unnoted.update(noted_at=DbNow()) and grant.resumed_at is None:
                time = f"{grant.restore.restored_to:%Y-%m-%d %H:%M} UTC"
                record_evidence(
                    account_id=grant.credential.account_id,
                    credential_id=grant.pk,
                    evidence=Evidence(
                        source="restore", verdict="suspect", note=_NOTE.format(time=time), code=CODE
                    ),
                    actor=_ACTOR,
                )
    delete_settled_grants()
    return len(grants) == BATCH


def delete_settled_grants() -> None:
    """Delete some of the rows about grants that were replaced or have ended."""
    replaced = ~Q(generation=F("credential__grant__generation"))
    ended = Q(resumed_at__isnull=False, credential__grant__state=NEEDS_REAUTH)
    settled = RestoredGrant.objects.filter(replaced | ended).values_list("pk", flat=True)
    if ids := list(settled[: 10 * BATCH]):
        RestoredGrant.objects.filter(replaced | ended, pk__in=ids).delete()


RESTORE_NOTES: Final = PeriodicTask("restores", every=5, run_batch=note_waiting_grants)
