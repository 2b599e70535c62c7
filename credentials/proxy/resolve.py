"""Which credential a request is for, where its provider is, and what makes the request theirs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.actors import Principal
from common.db.ids import parse_uuid
from common.errors import BadRequestError, ConflictError, NotFoundError
from credentials.core.request_auth import RequestAuth, build_custom_request_auth, build_request_auth
from credentials.proxy import queries, signing
from credentials.proxy.limits import Rate
from credentials.proxy.queries import CredentialRow
from credentials.proxy.target import RequestTarget
from credentials.refresh import AccessToken, get_fresh_token
from providers.kinds import Kind, Limit, Provider
from providers.models import CustomProvider
from providers.registry import get_registry
from providers.url_templates import PLACEHOLDER, expand_url_template

MIN_REFRESH_INTERVAL: Final = 60
"""Seconds in which no second refresh is forced: a path that is always 401 wears no grant out."""

_HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResolvedCredential:
    """A credential that is to be used. `other` is its second half, where a key came in two parts."""

    row: CredentialRow
    kind: Kind
    provider: Provider
    base_url: str
    custom: CustomProvider | None = None
    other_half: CredentialRow | None = None

    @property
    def rate(self) -> Rate | None:
        """Of its policy, or else of its custom service."""
        if self.row.policy and self.row.policy.rate:
            return self.row.policy.rate
        if self.custom and self.custom.rate_limit:
            return Rate(self.custom.rate_limit, _HOUR)
        return None

    @property
    def provider_rates(self) -> list[Rate]:
        """Of its provider, the shortest first; they hold beside `rate`."""
        found: dict[int, int] = {}
        for limit in self._limits:
            if limit.requests and limit.seconds:
                fewest = min(limit.requests, found.get(limit.seconds, limit.requests))
                found[limit.seconds] = fewest
        return [Rate(found[seconds], seconds) for seconds in sorted(found)]

    @property
    def max_concurrency(self) -> int | None:
        """The stricter of its policy's concurrency and its provider's."""
        given = [self.row.policy.concurrency] if self.row.policy else []
        return min(filter(None, (*given, *(limit.at_once for limit in self._limits))), default=None)

    @property
    def _limits(self) -> list[Limit]:
        return self.provider.get_enforced_limits(self.kind.name)

    @property
    def key_headers(self) -> frozenset[str]:
        """The headers (lower case) in which this provider has its keys."""
        if self.custom:
            return frozenset({self.custom.auth_header.lower()})
        auth = self.kind.auth
        if auth is None:
            return frozenset()
        if auth.place == "signed":
            return signing.KEY_HEADERS.get(auth.scheme or "", frozenset())
        return (
            frozenset(name.lower() for name in auth.values)
            if auth.place == "header"
            else frozenset()
        )

    @property
    def signature_scheme(self) -> str | None:
        """By what its requests are signed, if they are."""
        auth = self.kind.auth
        if self.other_half is not None:
            auth = self.provider.auth
        return auth.scheme if auth and auth.place == "signed" else None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DecryptedSecrets:
    """A credential's values, out of their seals. `token`: the access token among them, if there is one."""

    secrets: Mapping[str, str]
    token: str | None = None


def resolve_credential(target: RequestTarget, who: Principal) -> ResolvedCredential:
    """The credential that the target names. Raises NotFound, BadRequest or Conflict."""
    if target.service is not None:
        return _newest(target.service, who.account_id)
    id = parse_uuid(target.id or "")
    row = queries.get_by_id(who.account_id, id) if id else None
    if row is None:
        raise NotFoundError()
    return _of(row)


def decrypt_secrets(
    chosen: ResolvedCredential, who: Principal, *, force: bool = False
) -> DecryptedSecrets:
    """The values, the access token fresh. `force` refreshes it first.

    Raises Conflict (needs_reauth), Unavailable, or SecretUnavailable.
    """
    row = chosen.row
    token, secrets = None, {}
    if chosen.kind.refreshes:
        token = _fresh(chosen, who, force=force).access_token.expose()
    if not chosen.kind.refreshes or _needs_more(chosen.kind):
        secrets = row.decrypt_secrets()
    if chosen.other_half is not None:
        # Each is named by which half it is: api_key or api_secret.
        halves = (row, chosen.other_half)
        secrets = {str(half.properties["name"]): half.decrypt_secrets()["key"] for half in halves}
    if token is not None:
        secrets["access_token"] = token
    return DecryptedSecrets(secrets=secrets, token=token)


def build_authentication(chosen: ResolvedCredential, opened: DecryptedSecrets) -> RequestAuth:
    """What is put on the request; for kinds whose requests are signed see `signing`."""
    if chosen.custom:
        custom = chosen.custom
        return build_custom_request_auth(
            auth_header=custom.auth_header, prefix=custom.prefix, key=opened.secrets["key"]
        )
    return build_request_auth(chosen.kind, chosen.row.properties, opened.secrets)


def _fresh(chosen: ResolvedCredential, who: Principal, *, force: bool) -> AccessToken:
    return get_fresh_token(
        account_id=chosen.row.account_id,
        id=chosen.row.id,
        actor=who.actor,
        force=force,
        min_interval=MIN_REFRESH_INTERVAL if force else 0,
    )


def _newest(service: str, account_id: uuid.UUID) -> ResolvedCredential:
    """The newest of the provider; what the documented API says of the rest is 400."""
    if get_registry().get_provider(service) is None or service == "custom":
        raise BadRequestError(
            "unknown provider: one of /v1/providers, or a registered custom.<name>"
        )
    row = queries.get_newest(account_id, service)
    if row is None:
        if service.startswith("custom."):
            _custom(service, account_id)
        raise BadRequestError("credential not found for service: import one first")
    if row.kind != signing.BINANCE_PART:
        return _of(row)
    wanted = {"api_key": "api_secret", "api_secret": "api_key"}[row.properties["name"]]
    other = queries.get_newest_half(account_id, row.kind, wanted)
    if other is None:
        raise BadRequestError(f"credential not found for service: {service} has no {wanted}")
    return _of(row, other=other)


def _of(row: CredentialRow, other: CredentialRow | None = None) -> ResolvedCredential:
    kind, provider = get_registry().get_kind(row.kind), get_registry().get_provider(row.provider)
    if kind is None or provider is None:
        raise ConflictError("The credential's provider is not known to this server.")
    if row.kind == signing.BINANCE_PART and other is None:
        raise ConflictError("One half of a key signs nothing: use /proxy/binance.")
    custom = _custom(row.provider, row.account_id) if provider.base_url is None else None
    return ResolvedCredential(
        row=row,
        kind=kind,
        provider=provider,
        base_url=custom.base_url if custom else _base_url(row, kind, provider),
        custom=custom,
        other_half=other,
    )


def _custom(slug: str, account_id: uuid.UUID) -> CustomProvider:
    name = slug.removeprefix("custom.")
    found = CustomProvider.objects.filter(account_id=account_id, name=name).first()
    if found is None:
        raise BadRequestError("unknown provider: this custom service is not registered")
    return found


def _base_url(row: CredentialRow, kind: Kind, provider: Provider) -> str:
    template = provider.base_url or ""
    if "{" not in template:
        return template.rstrip("/")
    url = expand_url_template(
        template, provider=provider, kind=kind, properties=row.properties, config=row.config
    )
    return url.rstrip("/")


def _needs_more(kind: Kind) -> bool:
    """Whether the kind's requests carry a sealed value beside the access token."""
    parts = kind.auth.values.values() if kind.auth else ()
    named = {name for part in parts for name in PLACEHOLDER.findall(part)}
    return bool(named & set(kind.secret_fields) - {"access_token"})
