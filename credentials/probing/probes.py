"""Asking a provider whether a credential still works, by the request that its file names.

Nothing is held meanwhile: the row is read and opened, the provider asked, and its answer then counts
only if the row still holds the secret that was asked about.
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
from credentials.core.request_auth import (
    RequestAuth,
    build_request_auth,
    fill_template,
    sign_binance,
)
from credentials.health.evidence import Evidence, Verdict
from credentials.models import Credential
from credentials.refresh import get_fresh_token
from egress import BlockedByPolicyError, EgressError, Request, Response, client
from egress.retry_after import parse_retry_after
from providers.kinds import Kind, Probe, Provider
from providers.url_templates import expand_url_template
from vault.services import compute_fingerprint

MAX_WAIT: Final = 3600
MIN_REFRESH_INTERVAL: Final = 60
"""Seconds in which no second refresh is forced: whoever asks often does not wear a grant out."""


class ProbeResult(NamedTuple):
    """What was found; `retry_after`: seconds for which the provider wants to be left alone."""

    evidence: Evidence
    retry_after: int = 0


@dataclass(slots=True, repr=False)
class ProbeSubject:
    """A credential, opened to be asked about. `prints` are of the secrets that are put on requests."""

    row: Credential
    kind: Kind
    provider: Provider
    secrets: dict[str, str]
    fingerprints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fingerprints = {name: pair[0] for name, pair in self.row.fingerprints.items()}

    def use_token(self, token: str) -> None:
        """Ask with this access token from now on: of the row's secrets, it alone matters then."""
        self.secrets["access_token"] = token
        if "access_token" in self.kind.secret_fields:
            self.fingerprints = {"access_token": compute_fingerprint(self.row.account_id, token)}
        else:
            self.fingerprints = {}

    def matches(self, row: Credential) -> bool:
        """Whether `row`, read again, holds what was asked about."""
        held = {name: pair[0] for name, pair in row.fingerprints.items()}
        return all(held.get(name) == print for name, print in self.fingerprints.items())


def run_probe(subject: ProbeSubject, probe: Probe, actor: Actor) -> ProbeResult | None:
    """The provider's answer. None: the refresh that it needed failed, and has said why itself.

    A refusal is heard twice before it is believed: of kinds that refresh, with a token made new
    between, as a token may end before its grant.
    """
    if subject.kind.refreshes and not _renew(subject, actor, force=False):
        return None
    answer = _ask_once(subject, probe)
    if answer.evidence.verdict != "rejected":
        return answer
    if subject.kind.refreshes and not _renew(subject, actor, force=True):
        return None
    return _ask_once(subject, probe)


def _renew(subject: ProbeSubject, actor: Actor, *, force: bool) -> bool:
    row = subject.row
    try:
        fresh = get_fresh_token(
            account_id=row.account_id,
            id=row.id,
            actor=actor,
            force=force,
            min_interval=MIN_REFRESH_INTERVAL,
        )
    except (ConflictError, ServiceUnavailableError):
        return False
    subject.use_token(fresh.access_token.expose())
    return True


def _ask_once(subject: ProbeSubject, probe: Probe) -> ProbeResult:
    provider = subject.provider.name
    try:
        request = _request(subject, probe)
    except (ConflictError, InvalidInputError) as problem:
        return _unclear(f"{provider} could not be asked: {problem.detail}", "unaskable")
    try:
        response = client.send(request)
    except BlockedByPolicyError as error:
        return _unclear(f"{provider} could not be asked: {error.reason}.", "refused_by_policy")
    except EgressError as error:
        note = (
            f"{provider} did not answer: {error.reason}. That says nothing against the credential."
        )
        return ProbeResult(_evidence("unavailable", note, "unreachable"))
    return _read(response, probe, provider)


def _read(response: Response, probe: Probe, provider: str) -> ProbeResult:
    status = response.status
    code = f"http_{status}"
    if status in probe.ok:
        return ProbeResult(_evidence("ok", f"{provider} accepted it.", code))
    if status in probe.dead:
        return ProbeResult(_evidence("rejected", f"{provider} refused it (HTTP {status}).", code))
    if status == 429:
        note = f"{provider} wants to be asked less often (HTTP 429); it will be asked again later."
        return ProbeResult(_evidence("unavailable", note, "rate_limited"), _retry_after(response))
    if status >= 500:
        note = (
            f"{provider} had an error of its own (HTTP {status})."
            " That says nothing against the credential."
        )
        return ProbeResult(_evidence("unavailable", note, code), _retry_after(response))
    return _unclear(
        f"{provider} answered HTTP {status}, which says nothing of the credential.", code
    )


def _request(subject: ProbeSubject, probe: Probe) -> Request:
    row, kind, provider = subject.row, subject.kind, subject.provider
    if provider.base_url is None:
        raise ConflictError("its address is not known.")
    config: Mapping[str, str] = row.oauth_app.config if row.oauth_app else {}
    template = provider.base_url + probe.path
    url = expand_url_template(
        template, provider=provider, kind=kind, properties=row.properties, config=config
    )
    proof = _proof(subject)
    values = {**row.properties, **subject.secrets}
    headers = {"Accept": "application/json"}
    headers |= {name: fill_template(part, values) for name, part in probe.headers.items()}
    body = None
    if probe.json is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(probe.json).encode()
    if proof.query:
        url = f"{url}?{urlencode(proof.query)}"
    return Request(
        method=probe.method, url=url, headers=(*headers.items(), *proof.headers), body=body
    )


def _proof(subject: ProbeSubject) -> RequestAuth:
    auth = subject.kind.auth
    if auth is not None and auth.scheme == "binance_hmac":
        now = db_now()
        return sign_binance(subject.secrets, (), timestamp_ms=int(now.timestamp() * 1000))
    return build_request_auth(subject.kind, subject.row.properties, subject.secrets)


def _evidence(verdict: Verdict, note: str, code: str) -> Evidence:
    return Evidence(source="probe", verdict=verdict, note=note, code=code)


def _unclear(note: str, code: str) -> ProbeResult:
    return ProbeResult(_evidence("unclear", note, code))


def _retry_after(response: Response) -> int:
    return int(parse_retry_after(response.headers, maximum=MAX_WAIT) or 0)
