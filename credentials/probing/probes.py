"""Probes: the request by which a provider tells whether a credential still works.

No row is locked during the request, so the response counts only if the row still has the secret that
was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlencode

from common.actors import Actor
from common.db.clock import db_now
from common.errors import ConflictError, InvalidInputError, ServiceUnavailableError
from credentials.core.grant_state import ACCESS_REJECTED, get_grant
from credentials.core.request_auth import build_request_auth, fill_template, sign_binance
from credentials.health.evidence import Evidence, Verdict
from credentials.models import Credential
from credentials.refresh import get_fresh_token
from egress import BlockedByPolicyError, EgressError, Request, Response, client
from egress.headers import parse_retry_after
from providers.kinds import Kind, Probe, Provider
from providers.url_templates import expand_url_template
from vault.services import compute_fingerprint

MAX_WAIT: Final = 3600
MIN_REFRESH_INTERVAL: Final = 60
"""Seconds between forced refreshes, so that frequent checks do not exhaust a grant."""


class ProbeResult(NamedTuple):
    """The evidence, and the seconds for which the provider wants no more requests."""

    evidence: Evidence
    retry_after: int = 0


@dataclass(slots=True, repr=False)
class ProbeSubject:
    """A decrypted credential. `fingerprints` are those of the secrets that the request contains."""

    row: Credential
    kind: Kind
    provider: Provider
    secrets: dict[str, str]
    fingerprints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fingerprints = _get_current_fingerprints(self.row)

    def use_token(self, token: str) -> None:
        """Use this access token from now on. It is then the only secret of the row that matters."""
        self.secrets["access_token"] = token
        if "access_token" in self.kind.secret_fields:
            self.fingerprints = {"access_token": compute_fingerprint(self.row.account_id, token)}
        else:
            self.fingerprints = {}

    def matches(self, row: Credential) -> bool:
        """Return True if `row`, read again, has the secrets that were sent."""
        current = _get_current_fingerprints(row)
        return all(current.get(name) == value for name, value in self.fingerprints.items())


def run_probe(subject: ProbeSubject, probe: Probe, actor: Actor) -> ProbeResult | None:
    """Send the probe. Return None if the refresh before it failed and has recorded why.

    A rejection counts only if it is repeated.
    """
    # A token that an earlier probe has rejected is not sent again.
    was_rejected = get_grant(subject.row).error == ACCESS_REJECTED
    if subject.kind.refreshes and not _refresh(subject, actor, force=was_rejected):
        return None
    result = _send_probe(subject, probe)
    if result.evidence.verdict != "rejected":
        return result
    # The token may have ended before its grant: a new one tells.
    if subject.kind.refreshes and not _refresh(subject, actor, force=True):
        return None
    return _send_probe(subject, probe)


def _get_current_fingerprints(row: Credential) -> dict[str, str]:
    return {name: history[0] for name, history in row.fingerprints.items()}


def _refresh(subject: ProbeSubject, actor: Actor, *, force: bool) -> bool:
    row = subject.row
    try:
        token = get_fresh_token(
            account_id=row.account_id,
            id=row.id,
            actor=actor,
            force=force,
            min_interval=MIN_REFRESH_INTERVAL,
        )
    except (ConflictError, ServiceUnavailableError):
        return False
    subject.use_token(token.access_token.expose())
    return True


def _send_probe(subject: ProbeSubject, probe: Probe) -> ProbeResult:
    provider = subject.provider.name
    try:
        request = _build_request(subject, probe)
    except (ConflictError, InvalidInputError) as error:
        note = f"{provider} could not be called: {error.detail}"
        return _build_result("unclear", note, "unaskable")
    try:
        response = client.send(request)
    except BlockedByPolicyError as error:
        note = f"{provider} could not be called: {error.reason}."
        return _build_result("unclear", note, "refused_by_policy")
    except EgressError as error:
        note = f"{provider} did not respond: {error.reason}. The cause is not the credential."
        return _build_result("unavailable", note, "unreachable")
    return _read_response(response, probe, provider)


def _read_response(response: Response, probe: Probe, provider: str) -> ProbeResult:
    status = response.status
    code = f"http_{status}"
    retry_after = int(parse_retry_after(response.headers, maximum=MAX_WAIT) or 0)
    if status in probe.ok:
        return _build_result("ok", f"{provider} accepted it.", code)
    if status in probe.dead:
        return _build_result("rejected", f"{provider} rejected it (HTTP {status}).", code)
    if status == 429:
        note = f"{provider} limits requests (HTTP 429). It will be probed again later."
        return _build_result("unavailable", note, "rate_limited", retry_after)
    if status >= 500:
        note = f"{provider} had an internal error (HTTP {status}). The cause is not the credential."
        return _build_result("unavailable", note, code, retry_after)
    note = f"{provider} responded with HTTP {status}, which says nothing about the credential."
    return _build_result("unclear", note, code)


def _build_request(subject: ProbeSubject, probe: Probe) -> Request:
    row, kind, provider = subject.row, subject.kind, subject.provider
    if provider.base_url is None:
        raise ConflictError("its address is not known.")
    config: Mapping[str, str] = row.oauth_app.config if row.oauth_app else {}
    template = provider.base_url + probe.path
    url = expand_url_template(
        template, provider=provider, kind=kind, properties=row.properties, config=config
    )
    if kind.auth is not None and kind.auth.scheme == "binance_hmac":
        timestamp_ms = int(db_now().timestamp() * 1000)
        auth = sign_binance(subject.secrets, (), timestamp_ms=timestamp_ms)
    else:
        auth = build_request_auth(kind, row.properties, subject.secrets)
    values = {**row.properties, **subject.secrets}
    headers = {"Accept": "application/json"}
    headers |= {name: fill_template(part, values) for name, part in probe.headers.items()}
    body = None
    if probe.json is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(probe.json).encode()
    if auth.query:
        url = f"{url}?{urlencode(auth.query)}"
    return Request(
        method=probe.method, url=url, headers=(*headers.items(), *auth.headers), body=body
    )


def _build_result(verdict: Verdict, note: str, code: str, retry_after: int = 0) -> ProbeResult:
    evidence = Evidence(source="probe", verdict=verdict, note=note, code=code)
    return ProbeResult(evidence, retry_after)
