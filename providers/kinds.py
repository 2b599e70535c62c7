"""What a provider and a kind of credential are: plain objects, made from the files in `data/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, and on which day."""

    url: str
    read: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A part of a URL that differs per customer: one DNS label, or one path segment.

    It is taken from the credential's property of that name where the kind has one, else from the
    OAuth app's config.
    """

    description: str
    place: str = "host"
    pattern: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    """How a request is authenticated: header | query | basic | signed.

    `values` are templates over the credential's properties and, for kinds that refresh,
    `{access_token}`. `scheme` names the signing algorithm where requests are signed.
    """

    place: str
    values: Mapping[str, str] = field(default_factory=dict)
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityPart:
    """One property that says which upstream account a credential is for.

    `form`: text (exact, as ids are), label (a DNS label: any case), host (of a URL), integer.
    """

    field: str
    form: str = "text"


@dataclass(frozen=True, slots=True)
class Probe:
    """The request that tells a live credential from a dead one by its status; else nothing is said."""

    method: str
    path: str
    ok: tuple[int, ...]
    dead: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """What the provider says of its tokens; None: it says nothing that was found."""

    rotates: bool | None
    grace_seconds: int | None
    idle_days: int | None
    lifetime_days: int | None
    access_token_seconds: int | None


@dataclass(frozen=True, slots=True)
class OAuth:
    """The provider's authorization server. URLs may hold `{variables}`; None: none, or not found."""

    authorize_url: str | None
    token_url: str
    revocation_url: str | None
    introspection_url: str | None
    issuer: str | None
    scope_separator: str
    default_scopes: tuple[str, ...]
    pkce: bool | None
    client_auth: str | None
    token_params: Mapping[str, str]
    refresh: Refresh


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of credential. `schema` is the JSON Schema of its properties, `kind` included."""

    name: str
    provider: str
    title: str
    mechanism: str
    aliases: tuple[str, ...]
    property_aliases: Mapping[str, str]
    schema: Mapping[str, Any]
    secret_fields: tuple[str, ...]
    identity: tuple[IdentityPart, ...]
    identity_with_secret: bool
    rotates: bool
    grant: str | None
    posted_key: str | None
    auth: Auth | None
    probe: Probe | None
    example: Mapping[str, Any]

    @property
    def refreshes(self) -> bool:
        """Whether Latchkey gets access tokens for it, by `grant`."""
        return self.grant is not None

    @property
    def needs_app(self) -> bool:
        """Whether a credential of it is nothing without the OAuth app that it was issued to."""
        return self.mechanism in {"oauth2", "app"}


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """One provider. `base_url` is None for `custom` alone, whose rows each have their own."""

    slug: str
    name: str
    website: str | None
    sources: tuple[Source, ...]
    base_url: str | None
    auth: Auth | None
    variables: Mapping[str, Variable]
    oauth: OAuth | None
    kinds: Mapping[str, Kind]

    @property
    def posted_kind(self) -> Kind | None:
        """The kind that a key posted alone becomes, if there is one."""
        return next((kind for kind in self.kinds.values() if kind.posted_key), None)
