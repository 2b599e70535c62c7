"""What a refresh says about health, told within the outcome's transaction."""

from __future__ import annotations

from typing import Final

from credentials.health.evidence import Evidence, Source, Verdict
from credentials.health.services import observe, observe_app
from credentials.refresh.types import Claim

ACCEPTED: Final = Evidence(source="refresh", verdict="ok", note="", code="")


def tell_health(
    claim: Claim, verdict: Verdict, *, note: str = "", code: str = "", source: Source = "refresh"
) -> None:
    observe(
        account_id=claim.row.account_id,
        credential_id=claim.row.id,
        evidence=Evidence(source=source, verdict=verdict, note=note, code=code),
        actor=claim.actor,
    )


def tell_app_health(claim: Claim, verdict: Verdict, *, note: str = "", code: str = "") -> None:
    if claim.row.oauth_app_id is not None:
        observe_app(
            account_id=claim.row.account_id,
            app_id=claim.row.oauth_app_id,
            evidence=Evidence(source="refresh", verdict=verdict, note=note, code=code),
            actor=claim.actor,
        )
