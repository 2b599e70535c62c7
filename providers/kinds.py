"""What a provider and a kind of credential are: plain objects, made from the files in `data/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, and on which day."""

    url: str
    read: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What the provider lets through: `requests` in any `seconds`, or `at_once` under way.

    Neither: its page gives no number that holds for everyone, and `note` says what it depends on.
    `per` is what it counts by: credential | account | app | address | resource; `kinds` are those
    that it is for, all where there are none. The proxy keeps to it where `enforced`.
    """

    per: str
    enforced: bool
    source: Source
    requests: int | None = None
    seconds: int | None = None
    at_once: int | None = None
    kinds: tuple[str, ...] = ()
    note: str | None = None


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
class ResponseRule:
    """A response to a refresh that the provider documents, and its meaning.

    Matches if the status is one of `status` (empty: any) and, if `at` (a JSON pointer in which `*`
    stands for every element of an array) or `header` is given, the value there is one of `values`.
    Text is compared without regard to case; `match`: equals | starts_with.
    `meaning`: dead_grant | app | temporary | rate_limited.
    """

    meaning: str
    source: Source
    status: tuple[int, ...] = ()
    at: str | None = None
    header: str | None = None
    values: tuple[str | int, ...] = ()
    match: str = "equals"


@dataclass(frozen=True, slots=True)
class Refresh:
    """What the provider says of its tokens; None: it says nothing that was found."""

    rotates: bool | None
    grace_seconds: int | None
    idle_days: int | None
    lifetime_days: int | None
    access_token_seconds: int | None
    responses: tuple[ResponseRule, ...] = ()


@dataclass(frozen=True, slots=True)
class RevocationCall:
    """The provider's own call that ends a token, where it is not RFC 7009's.

    `auth`: client (as at the token endpoint), bearer (the token itself), none. The token stands in
    `token_field`, beside `token_type_hint` where `hint`: in the query of GET and DELETE, else in a
    body of the OAuth's `token_format`. None: the bearer header alone has it.
    """

    method: str
    url: str
    auth: str
    token_field: str | None
    hint: bool
    ok: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OAuth:
    """The provider's authorization server. URLs may hold `{variables}`; None: none, or not found.

    `revocation_url` is an endpoint as RFC 7009 has it, `revocation` any other call. `refresh_url`
    is where refresh goes if not to `token_url`. `quirks` names functions of `quirks.py`. `iss`:
    whether authorization answers carry RFC 9207's `iss`.
    """

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
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    refresh_url: str | None = None
    token_format: str = "form"  # noqa: S105  not a secret
    scope_param: str = "scope"
    iss: bool | None = None
    quirks: tuple[str, ...] = ()
    revocation: RevocationCall | None = None


@dataclass(frozen=True, slots=True)
class PropertySource:
    """Where a property is found after a connection: token | callback | id_token | call | config.

    `at` is a JSON pointer (RFC 6901) into the token answer, the id_token's claims or the call's
    answer; a parameter's name of the callback; a variable's name of the OAuth app's config.
    """

    place: str
    at: str


@dataclass(frozen=True, slots=True)
class IdentityCall:
    """The request after the exchange whose answer says, or whose success proves, whose grant it is.

    It goes to `path` on the API's base URL, or to `url`, authenticated as the kind's requests are,
    or by `headers` alone where these have an Authorization: templates as in `Auth.values`.
    """

    method: str
    path: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    """How a connection fills the kind's identity and required properties.

    The flow itself fills access_token, refresh_token and expires_at. `name` and `owner_email` are
    the credential's own; all other names are the kind's properties.
    """

    properties: Mapping[str, PropertySource]
    call: IdentityCall | None

    def get_unverified_fields(self, identity: Iterable[IdentityPart]) -> list[str]:
        """The identity's fields that the callback says: the user can change them, `call` proves them."""
        fields = [part.field for part in identity if part.field in self.properties]
        return [field for field in fields if self.properties[field].place == "callback"]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of credential. `schema` is the JSON Schema of its properties, `kind` included.

    `connect` None: nothing says whose grant a connection got, so its caller names `external_id`.
    """

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
    connect: Connect | None = None

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
    """One provider. `base_url` is None for `custom` alone, whose rows each have their own.

    `paths` names what the proxy lets through in paths to it, and refuses elsewhere;
    `links_in_answers`: it makes addresses below the base URL in JSON answers its own. `limits` None:
    none was found.
    """

    slug: str
    name: str
    website: str | None
    sources: tuple[Source, ...]
    base_url: str | None
    auth: Auth | None
    variables: Mapping[str, Variable]
    oauth: OAuth | None
    kinds: Mapping[str, Kind]
    paths: tuple[str, ...] = ()
    links_in_answers: bool = False
    limits: tuple[Limit, ...] | None = None

    def get_enforced_limits(self, kind: str) -> list[Limit]:
        """The limits that the proxy keeps to with credentials of this kind."""
        meant = (each for each in self.limits or () if not each.kinds or kind in each.kinds)
        return [each for each in meant if each.enforced]

    @property
    def posted_kind(self) -> Kind | None:
        """The kind that a key posted alone becomes, if there is one."""
        return next((kind for kind in self.kinds.values() if kind.posted_key), None)
