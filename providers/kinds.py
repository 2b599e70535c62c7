"""Providers and kinds of credential as plain objects, built from the files in `data/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """The page that states a fact, and the day on which it was read.

    `says` is what stands there, in our words. `sureness`: vendor | vendor_code | two_independent |
    one_independent. Both are None for a page that was read for the file as a whole.
    """

    url: str
    read: str
    says: str | None = None
    sureness: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit: `requests` in any `seconds`, or `at_once` concurrent requests.

    If it has neither, the provider states no number that is the same for all customers, and `note`
    says what the limit depends on. `per` is what is counted: credential | account | app | address |
    resource. `kinds` are the kinds that it applies to; none means all. The proxy applies it if
    `enforced`.
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
    """A part of a URL that differs per customer.

    `place`: host (one DNS label) | labels (several, of a host) | path (one segment) | origin (the
    base URL of the customer's own server, with which the URL begins). `values` are the only ones
    allowed, if there are any. Its value is the credential's property of that name if the kind has
    one, otherwise it is in the OAuth app's config; an origin is only there.
    """

    description: str
    place: str = "host"
    pattern: str | None = None
    default: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizeOption:
    """A parameter of the authorization request that an OAuth app may set.

    Its value is one of `values` if there are any, and otherwise matches `pattern`.
    """

    description: str
    values: tuple[str, ...] = ()
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    """The authentication of a request: header | query | basic | signed.

    `values` are templates with the credential's properties and, for kinds that refresh,
    `{access_token}`. `scheme` names the algorithm of signed requests.
    """

    place: str
    values: Mapping[str, str] = field(default_factory=dict)
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityPart:
    """One property that identifies the upstream account of a credential.

    `form`: text (exact, as ids are), label (a DNS label: any case), host (of a URL), integer.
    """

    field: str
    form: str = "text"


@dataclass(frozen=True, slots=True)
class Person:
    """The property that identifies the person whose token it is, within the upstream account.

    Only for kinds whose token acts as a person. `form` as in IdentityPart.
    """

    field: str
    source: Source
    form: str = "text"


@dataclass(frozen=True, slots=True)
class Probe:
    """A request whose status shows that a credential works (`ok`) or not (`dead`).

    Any other status says nothing about the credential.
    """

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
    """Facts about the provider's tokens; None means that its documentation does not say."""

    rotates: bool | None
    grace_seconds: int | None
    idle_days: int | None
    lifetime_days: int | None
    access_token_seconds: int | None
    responses: tuple[ResponseRule, ...] = ()


@dataclass(frozen=True, slots=True)
class RevocationCall:
    """A provider's own call that revokes a token, instead of that of RFC 7009.

    `auth`: client (as at the token endpoint), bearer (the token itself), none. The token is in
    `token_field`, with `token_type_hint` if `hint`: in the query of GET and DELETE, otherwise in a
    body of the OAuth's `token_format`. If `token_field` is None, only the bearer header has it.
    """

    method: str
    url: str
    auth: str
    token_field: str | None
    hint: bool
    ok: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequiredScope:
    """A scope that every connection needs, whatever else is requested.

    `purpose`: offline (without it, the provider issues no lasting refresh token) | identity
    (without it, the provider does not say whose grant it is). `included_in`: scopes that include
    it, so that it need not be added to them.
    """

    scope: str
    purpose: str
    source: Source
    included_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OAuth:
    """The provider's authorization server.

    URLs may contain `{variables}`; None means that there is none, or that it is not documented.
    Nothing acts on None: `pkce` is used only if it is True. `revocation_url` is an endpoint of RFC
    7009, `revocation` any other call. `refresh_url` replaces `token_url` for refreshes. `quirks`
    names functions of `quirks.py`. `iss` is True if authorization responses have the `iss` of RFC
    9207. `authorize_options` are the parameters that an app may set in addition to
    `authorize_params`. `scopes_required`: the provider rejects a request without scopes.
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
    required_scopes: tuple[RequiredScope, ...] = ()
    authorize_options: Mapping[str, AuthorizeOption] = field(default_factory=dict)
    scopes_required: bool = False

    def add_required_scopes(self, scopes: Iterable[str]) -> list[str]:
        """Return `scopes`, followed by those of `required_scopes` that are missing in them."""
        requested = list(scopes)
        # Without any scope, a provider grants what the app is registered for. One added scope would
        # be all that it grants.
        if not requested:
            return []
        missing = (
            each.scope
            for each in self.required_scopes
            if not {each.scope, *each.included_in} & set(requested)
        )
        return [*requested, *missing]


@dataclass(frozen=True, slots=True)
class PropertySource:
    """The source of a property after a connection: token | callback | id_token | call | config.

    `at` is a JSON pointer (RFC 6901) into the token response, the claims of the id_token or the
    call's response; or the name of a parameter of the callback; or the name of a variable in the
    OAuth app's config. If `is_path`, the property is the last segment of the URL there.
    """

    place: str
    at: str
    is_path: bool = False


@dataclass(frozen=True, slots=True)
class IdentityCall:
    """A request after the code exchange that identifies, or verifies, the owner of the grant.

    It goes to `path` on the API's base URL, or to `url`. It is authenticated as the kind's other
    requests, unless `headers`, which are templates as in `Auth.values`, have an Authorization.
    """

    method: str
    path: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    """The sources of the kind's identity and required properties in a connection.

    The flow itself fills access_token, refresh_token and expires_at. `name` and `owner_email` are
    fields of the credential; all other names are properties of the kind.
    """

    properties: Mapping[str, PropertySource]
    call: IdentityCall | None

    def get_unverified_fields(self, identity: Iterable[IdentityPart]) -> list[str]:
        """Return the identity fields that come from the callback, which the user can change."""
        fields = [part.field for part in identity if part.field in self.properties]
        return [field for field in fields if self.properties[field].place == "callback"]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of credential. `schema` is the JSON Schema of its properties, `kind` included.

    If `connect` is None, nothing identifies the grant of a connection: its caller must give an
    `external_id`. `oauth_section` names the one of the provider's `oauth_sections` that issues its
    tokens; None means `oauth`.
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
    person: Person | None = None
    oauth_section: str | None = None

    @property
    def refreshes(self) -> bool:
        """True if Latchkey requests access tokens for it, by `grant`."""
        return self.grant is not None

    @property
    def needs_app(self) -> bool:
        """True if a credential of this kind is useless without the OAuth app it was issued to."""
        return self.mechanism in {"oauth2", "app"}


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """One provider.

    `base_url` is None for `custom` only, whose rows have one each. `paths` names what the proxy
    allows in paths to this provider and rejects in others. If `links_in_answers`, the proxy rewrites
    URLs below the base URL in JSON responses to its own. `limits` None: none is documented. `facts`
    has the evidence of each fact by the path of its field, as in the file. `oauth_sections` are
    further authorization servers, by names that kinds refer to.
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
    facts: Mapping[str, Any] = field(default_factory=dict)
    oauth_sections: Mapping[str, OAuth] = field(default_factory=dict)

    def get_oauth(self, kind: Kind) -> OAuth | None:
        """Return the authorization server that issues the tokens of `kind`, one of this provider's."""
        return self.oauth_sections[kind.oauth_section] if kind.oauth_section else self.oauth

    def list_oauth(self) -> list[OAuth]:
        """Return all its authorization servers."""
        return [*([self.oauth] if self.oauth else []), *self.oauth_sections.values()]

    def get_enforced_limits(self, kind: str) -> list[Limit]:
        """Return the limits that the proxy applies to credentials of this kind."""
        return [
            limit
            for limit in self.limits or ()
            if limit.enforced and (not limit.kinds or kind in limit.kinds)
        ]

    @property
    def posted_kind(self) -> Kind | None:
        """The kind of a key that is posted without any other property, or None."""
        return next((kind for kind in self.kinds.values() if kind.posted_key), None)
