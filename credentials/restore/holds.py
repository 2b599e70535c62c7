"""Conditions for refreshes: which grants wait for a person after a restore of the database."""

from __future__ import annotations

from typing import Final

from django.db.models import Exists, OuterRef

from common.errors import ServiceUnavailableError
from credentials.core.grant_state import get_grant
from credentials.models import Credential
from credentials.restore.models import RestoredGrant

NOT_WAITING_SQL: Final = """NOT EXISTS (
        SELECT 1 FROM restore_restoredgrant waiting
        JOIN credentials_credential credential ON credential.id = waiting.credential_id
        WHERE credential.grant_id = credentials_grant.id
            AND waiting.generation = credentials_grant.generation
            AND waiting.resumed_at IS NULL
    )"""
"""Of a row of credentials_grant."""

NOT_WAITING: Final = ~Exists(
    RestoredGrant.objects.filter(
        credential__grant_id=OuterRef("id"),
        generation=OuterRef("generation"),
        resumed_at__isnull=True,
    )
)
"""Of a queryset of grants."""

# Long, because a person has to decide.
_RETRY_AFTER: Final = 300
_MARKING_RETRY_AFTER: Final = 5


class DatabaseRestoredError(ServiceUnavailableError):
    """503 database_restored: the stored grant may be outdated, and using it could end it."""

    def __init__(self) -> None:
        super().__init__(
            "The database was restored to an earlier state, so this grant may have been replaced"
            " since. It is not refreshed until the operator decides, or until it is imported or"
            " connected again.",
            extra={"code": "database_restored"},
            retry_after=_RETRY_AFTER,
        )


class RestoreInProgressError(ServiceUnavailableError):
    """503 database_restored: the grants that may be outdated are still being marked."""

    def __init__(self) -> None:
        super().__init__(
            "The database was restored to an earlier state, and the grants that may be outdated are"
            " being marked. Try again.",
            extra={"code": "database_restored"},
            retry_after=_MARKING_RETRY_AFTER,
        )


def require_not_waiting(row: Credential) -> None:
    """Raise DatabaseRestoredError if the grant waits for a person. Costs nothing if it is not in doubt."""
    # Each grant in question counts as one with an attempt of unknown outcome.
    grant = get_grant(row)
    if not grant.unknowns:
        return
    grants = RestoredGrant.objects.filter(credential_id=row.id, generation=grant.generation)
    if grants.filter(resumed_at__isnull=True).exists():
        raise DatabaseRestoredError()


def is_restored(row: Credential) -> bool:
    """Return True if the grant of this generation may have been replaced before a restore."""
    grants = RestoredGrant.objects.filter(credential_id=row.id)
    return grants.filter(generation=get_grant(row).generation).exists()
