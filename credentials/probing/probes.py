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
from common.errors import Conflict, Invalid, Unavailable
from credentials.core.request_auth import Injection, fill, inject, sign_binance
from credentials.health.evidence import Evidence, Verdict
from credentials.models import Credential
from credentials.refresh import fresh_token
from egress import client
from egress.errors import EgressError, Refused
from egress.requests import Request, Response
from egress.retry_after import asked_pause
from providers.kinds import Kind, Probe, Provider
from providers.url_templates import expand
from vault.services import fingerprint

MAX_WAIT: Final = 3600
NOT_WITHIN: Final = 60
"""Seconds in which no second refresh is forced: whoever asks often does not wear a grant out."""


class Answer(NamedTuple):
    """What was found; `retry_after`: seconds for which the provider wants to be left alone."""

    evidence: Evidence
    retry_after: int = 0


@dataclass(slots=True, repr=False)
class Subject:
    """A credential, opened to be asked about. `prints` are of the secrets that are put on requests."""

    row: Credential
    kind: Kind
    provider: Provider
    secrets: dict[str, str]
    prints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prints = {name: pair[0] for name, pair in self.row.fingerprints.items()}

    def use_token(self, token: str) -> None:
        """Ask with this access token from now on: of the row's secrets, it alone matters then."""
        self.secrets["access_token"] = token
        if "access_token" in self.kind.secret_fields:
            self.prints = {"access_token": fingerprint(self.row.account_id, token)}
        else:
            self.prints = {}

    def is_still(self, row: Credential) -> bool:
        """Whether `row`, read again, holds what was asked about."""
        held = {name: pair[0] for name, pair in row.fingerprints.items()}
        return all(held.get(name) == print for name, print in self.prints.items())


def ask(subject: Subject, probe: Probe, actor: Actor) -> Answer | None:
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


def _renew(subject: Subject, actor: Actor, *, force: bool) -> bool:
    row = subject.row
    try:
        fresh = fresh_token(
            account_id=row.account_id,
            id=row.id,
            actor=actor,
            force=force,
            not_within=NOT_WITHIN,
        )
    except (Conflict, Unavailable):
        return False
    subject.use_token(fresh.access_token.expose())
    return True


def _ask_once(subject: Subject, probe: Probe) -> Answer:
    provider = subject.provider.name
    try:
        request = _request(subject, probe)
    except (Conflict, Invalid) as problem:
        return _unclear(f"{provider} could not be asked: {problem.detail}", "unaskable")
    try:
        response = client.send(request)
    except Refused as error:
        return _unclear(f"{provider} could not be asked: {error.reason}.", "refused_by_policy")
    except EgressError as error:
        note = (
            f"{provider} did not answer: {error.reason}. That says nothing against the credential."
        )
        return Answer(_evidence("unavailable", note, "unreachable"))
    return _read(response, probe, provider)


def _read(response: Response, probe: Probe, provider: str) -> Answer:
    status = response.status
    code = f"http_{status}"
    if status in probe.ok:
        return Answer(_evidence("ok", f"{provider} accepted it.", code))
    if status in probe.dead:
        return Answer(_evidence("rejected", f"{provider} refused it (HTTP {status}).", code))
    if status == 429:
        note = f"{provider} wants to be asked less often (HTTP 429); it will be asked again later."
        return Answer(_evidence("unavailable", note, "rate_limited"), _retry_after(response))
    if status >= 500:
        note = (
            f"{provider} had an error of its own (HTTP {status})."
            " That says nothing against the credential."
        )
        return Answer(_evidence("unavailable", note, code), _retry_after(response))
    return _unclear(
        f"{provider} answered HTTP {status}, which says nothing of the credential.", code
    )


def _request(subject: Subject, probe: Probe) -> Request:
    row, kind, provider = subject.row, subject.kind, subject.provider
    if provider.base_url is None:
        raise Conflict("its address is not known.")
    config: Mapping[str, str] = row.oauth_app.config if row.oauth_app else {}
    template = provider.base_url + probe.path
    url = expand(template, provider=provider, kind=kind, shown=row.properties, config=config)
    proof = _proof(subject)
    values = {**row.properties, **subject.secrets}
    headers = {"Accept": "application/json"}
    headers |= {name: fill(part, values) for name, part in probe.headers.items()}
    body = None
    if probe.json is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(probe.json).encode()
    if proof.query:
        url = f"{url}?{urlencode(proof.query)}"
    return Request(
        method=probe.method, url=url, headers=(*headers.items(), *proof.headers), body=body
    )


def _proof(subject: Subject) -> Injection:
    auth = subject.kind.auth
    if auth is not None and auth.scheme == "binance_hmac":
        now = db_now()
        return sign_binance(subject.secrets, (), timestamp_ms=int(now.timestamp() * 1000))
    return inject(subject.kind, subject.row.properties, subject.secrets)


def _evidence(verdict: Verdict, note: str, code: str) -> Evidence:
    return Evidence(source="probe", verdict=verdict, note=note, code=code)


def _unclear(note: str, code: str) -> Answer:
    return Answer(_evidence("unclear", note, code))


def _retry_after(response: Response) -> int:
    return int(asked_pause(response.headers, most=MAX_WAIT) or 0)
