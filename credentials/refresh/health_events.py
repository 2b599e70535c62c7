"""What a refresh says about health, told within the outcome's transaction."""

from __future__ import annotations

from typing import Final

from credentials.health.evidence import Evidence, Source, Verdict
from credentials.health.services import record_app_evidence, record_evidence
from credentials.refresh.types import RefreshClaim

REFRESH_ACCEPTED: Final = Evidence(source="refresh", verdict="ok", note="", code="")


def record_health(
    claim: RefreshClaim,
    verdict: Verdict,
    *,
    note: str = "",
    code: str = "",
    source: Source = "refresh",
) -> None:
    record_evidence(
        account_id=claim.row.account_id,
        credential_id=claim.row.id,
        evidence=Evidence(source=source, verdict=verdict, note=note, code=code),
        actor=claim.actor,
    )


def record_app_health(
    claim: RefreshClaim, verdict: Verdict, *, note: str = "", code: str = ""
) -> None:
    if claim.row.oauth_app_id is not None:
        record_app_evidence(
            account_id=claim.row.account_id,
            app_id=claim.row.oauth_app_id,
            evidence=Evidence(source="refresh", verdict=verdict, note=note, code=code),
            actor=claim.actor,
        )
