"""The credential that a request names, its provider's URL, and what authenticates the request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.actors import Principal
from common.db.ids import parse_uuid
from common.errors import BadRequestError, ConflictError, NotFoundError
from credentials.core.request_auth import (
    RequestAuth,
    build_custom_request_auth,
    build_request_auth,
)
from credentials.proxy import queries, signing
from credentials.proxy.limits import Rate
from credentials.proxy.queries import CredentialRow
from credentials.proxy.target import RequestTarget
from credentials.refresh import get_fresh_token
from providers.kinds import Kind, Limit, Provider
from providers.models import CustomProvider
from providers.registry import get_registry
from providers.url_templates import PLACEHOLDER, expand_url_template

MIN_REFRESH_INTERVAL: Final = 60
"""Seconds between two forced refreshes: a path that always returns 401 must not exhaust the grant."""

_HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResolvedCredential:
    """The credential for a request. `other_half` is the second row of a key that has two parts."""

    row: CredentialRow
    kind: Kind
    provider: Provider
    base_url: str
    custom: CustomProvider | None = None
    other_half: CredentialRow | None = None

    @property
    def rows(self) -> tuple[CredentialRow, ...]:
        return (self.row,) if self.other_half is None else (self.row, self.other_half)

    @property
    def rate(self) -> Rate | None:
        """The rate of its policy, otherwise that of its custom service."""
        if self.row.policy and self.row.policy.rate:
            return self.row.policy.rate
        if self.custom and self.custom.rate_limit:
            return Rate(self.custom.rate_limit, _HOUR)
        return None

    @property
    def provider_rates(self) -> list[Rate]:
        """The rates that its provider documents, the shortest interval first.

        They apply in addition to `rate`.
        """
        lowest: dict[int, int] = {}
        for limit in self._provider_limits:
            if limit.requests and limit.seconds:
                requests = min(limit.requests, lowest.get(limit.seconds, limit.requests))
                lowest[limit.seconds] = requests
        return [Rate(lowest[seconds], seconds) for seconds in sorted(lowest)]

    @property
    def max_concurrency(self) -> int | None:
        """The lowest of the concurrency limits of its policy and its provider."""
        limits = [limit.at_once for limit in self._provider_limits]
        if self.row.policy:
            limits.append(self.row.policy.concurrency)
        return min(filter(None, limits), default=None)

    @property
    def _provider_limits(self) -> list[Limit]:
        return self.provider.get_enforced_limits(self.kind.name)

    @property
    def key_headers(self) -> frozenset[str]:
        """The headers (lower case) in which this provider expects its keys."""
        if self.custom:
            return frozenset({self.custom.auth_header.lower()})
        auth = self.kind.auth
        if auth is None:
            return frozenset()
        if auth.place == "signed":
            return signing.KEY_HEADERS.get(auth.scheme or "", frozenset())
        if auth.place == "header":
            return frozenset(name.lower() for name in auth.values)
        return frozenset()

    @property
    def signature_scheme(self) -> str | None:
        """The scheme by which its requests are signed, if they are."""
        # Only both halves of a key can sign, so that the scheme is the provider's.
        auth = self.kind.auth if self.other_half is None else self.provider.auth
        return auth.scheme if auth and auth.place == "signed" else None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DecryptedSecrets:
    """The secret values of a credential. `token` is the access token, if there is one."""

    secrets: Mapping[str, str]
    token: str | None = None


def resolve_credential(target: RequestTarget, principal: Principal) -> ResolvedCredential:
    """Return the credential that the target names.

    Raises NotFoundError, BadRequestError or ConflictError.
    """
    if target.service is not None:
        return _resolve_service(target.service, principal.account_id)
    id = parse_uuid(target.id or "")
    row = queries.get_by_id(principal.account_id, id) if id else None
    if row is None:
        raise NotFoundError()
    return _resolve_row(row)


def decrypt_secrets(
    credential: ResolvedCredential, principal: Principal, *, force: bool = False
) -> DecryptedSecrets:
    """Return the secrets, with a fresh access token. `force` refreshes it in any case.

    Raises ConflictError (needs_reauth), ServiceUnavailableError, or SecretUnavailableError.
    """
    row, kind = credential.row, credential.kind
    if credential.other_half is not None:
        # The name of each row says which half it is: api_key or api_secret.
        return DecryptedSecrets(
            secrets={
                str(half.properties["name"]): half.decrypt_secrets()["key"]
                for half in credential.rows
            }
        )
    if not kind.refreshes:
        return DecryptedSecrets(secrets=row.decrypt_secrets())
    token = get_fresh_token(
        account_id=row.account_id,
        id=row.id,
        actor=principal.actor,
        force=force,
        min_interval=MIN_REFRESH_INTERVAL if force else 0,
    ).access_token.expose()
    parts = kind.auth.values.values() if kind.auth else ()
    names = {name for part in parts for name in PLACEHOLDER.findall(part)}
    # Most kinds put the access token alone on a request, and need no second decryption.
    needs_others = names & set(kind.secret_fields) - {"access_token"}
    secrets = row.decrypt_secrets() if needs_others else {}
    return DecryptedSecrets(secrets={**secrets, "access_token": token}, token=token)


def build_authentication(credential: ResolvedCredential, secrets: DecryptedSecrets) -> RequestAuth:
    """Return what authenticates a request. Requests that are signed: see `signing`."""
    if credential.custom:
        return build_custom_request_auth(
            auth_header=credential.custom.auth_header,
            prefix=credential.custom.prefix,
            key=secrets.secrets["key"],
        )
    return build_request_auth(credential.kind, credential.row.properties, secrets.secrets)


def _resolve_service(service: str, account_id: uuid.UUID) -> ResolvedCredential:
    """Return the provider's newest credential.

    The documented API says that a missing one is 400, not 404.
    """
    if get_registry().get_provider(service) is None or service == "custom":
        raise BadRequestError(
            "unknown provider: one of /v1/providers, or a registered custom.<name>"
        )
    row = queries.get_newest(account_id, service)
    if row is None:
        if service.startswith("custom."):
            _get_custom_provider(service, account_id)
        raise BadRequestError("credential not found for service: import one first")
    if row.kind != signing.BINANCE_PART:
        return _resolve_row(row)
    other_name = {"api_key": "api_secret", "api_secret": "api_key"}[row.properties["name"]]
    other_half = queries.get_newest_half(account_id, row.kind, other_name)
    if other_half is None:
        raise BadRequestError(f"credential not found for service: {service} has no {other_name}")
    return _resolve_row(row, other_half)


def _resolve_row(row: CredentialRow, other_half: CredentialRow | None = None) -> ResolvedCredential:
    kind, provider = get_registry().get_kind(row.kind), get_registry().get_provider(row.provider)
    if kind is None or provider is None:
        raise ConflictError("This server does not know the credential's provider.")
    if row.kind == signing.BINANCE_PART and other_half is None:
        raise ConflictError("One half of a key cannot sign requests: use /proxy/binance.")
    custom = None
    if provider.base_url is None:
        custom = _get_custom_provider(row.provider, row.account_id)
        base_url = custom.base_url
    else:
        base_url = provider.base_url
        if "{" in base_url:
            base_url = expand_url_template(
                base_url, provider=provider, kind=kind, properties=row.properties, config=row.config
            )
        base_url = base_url.rstrip("/")
    return ResolvedCredential(
        row=row,
        kind=kind,
        provider=provider,
        base_url=base_url,
        custom=custom,
        other_half=other_half,
    )


def _get_custom_provider(slug: str, account_id: uuid.UUID) -> CustomProvider:
    name = slug.removeprefix("custom.")
    provider = CustomProvider.objects.filter(account_id=account_id, name=name).first()
    if provider is None:
        raise BadRequestError("unknown provider: this custom service is not registered")
    return provider
