"""A fact that a file does not state is never acted on. Each nullable field of the format has a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from common.errors import InvalidInputError
from credentials.connect.flow_request import require_account_identity
from credentials.connect.oauth_client import is_expected_issuer
from credentials.health.expiry import forecast_expiry
from credentials.health.services import can_be_checked
from credentials.refresh.schedule import (
    LONGEST_LEASE,
    compute_first_refresh_delay,
    compute_lease_seconds,
)
from oauth_apps.client_config import get_token_host
from oauth_apps.protocol import (
    OAuth2Error,
    OAuthClient,
    build_authorization_url,
    generate_code_verifier,
)
from oauth_apps.protocol.introspection import introspect_token
from oauth_apps.protocol.revocation import revoke_token
from oauth_apps.protocol.transport import build_client_authentication
from providers.kinds import OAuth, Refresh
from providers.registry import DATA_DIR, build_provider, get_registry
from vault.secret import Secret

CONNECTABLE = {
    slug: provider.oauth
    for slug, provider in get_registry().providers.items()
    if provider.oauth and provider.oauth.authorize_url
}
WITHOUT_FACTS = OAuth(
    authorize_url="https://auth.example.com/authorize",
    token_url="https://auth.example.com/token",
    revocation_url=None,
    introspection_url=None,
    issuer=None,
    scope_separator=" ",
    default_scopes=(),
    pkce=None,
    client_auth=None,
    token_params={},
    refresh=Refresh(None, None, None, None, None),
)


def build_params(oauth: OAuth) -> dict[str, str]:
    client = OAuthClient(
        oauth=replace(oauth, authorize_url="https://auth.example.com/authorize"),
        client_id="c",
        secrets=(),
        variables={},
    )
    url = build_authorization_url(
        client,
        redirect_uri="https://lk.example/cb",
        state="st",
        scopes=(),
        verifier=generate_code_verifier(),
    )
    return dict(parse_qsl(urlsplit(url).query))


def test_a_file_without_facts_sends_only_what_the_standard_requires():
    assert build_params(WITHOUT_FACTS) == {
        "response_type": "code",
        "client_id": "c",
        "redirect_uri": "https://lk.example/cb",
        "state": "st",
    }


@pytest.mark.parametrize("slug", sorted(CONNECTABLE))
def test_pkce_is_sent_only_if_the_file_says_that_it_is_accepted(slug):
    oauth = CONNECTABLE[slug]
    assert ("code_challenge" in build_params(oauth)) is (oauth.pkce is True)


def test_linkedin_gets_no_challenge():
    oauth = CONNECTABLE["linkedin"]
    assert oauth.pkce is False
    assert not {"code_challenge", "code_challenge_method"} & set(build_params(oauth))


CLIENT = OAuthClient(oauth=WITHOUT_FACTS, client_id="c", secrets=(Secret("s"),), variables={})
NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


def raises(code: str, call: Callable[[], object]) -> bool:
    with pytest.raises(OAuth2Error) as caught:
        call()
    # Nothing has left: a request without the fact would be a guess.
    return caught.value.code == code and not caught.value.sent


def make_document(**more: Any) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((DATA_DIR / "figma.json").read_bytes())
    return {**document, **more}


def forecast(refresh: Refresh) -> object:
    kind: Any = SimpleNamespace(grant="refresh_token", refreshes=True, name="acme_oauth2")
    row: Any = SimpleNamespace(
        fingerprints={"refresh_token": ["x"]},
        obtained_at=NOW,
        created_at=NOW,
        grant=SimpleNamespace(last_at=None),
        expires_at=None,
    )
    oauth = replace(WITHOUT_FACTS, refresh=refresh)
    registry = SimpleNamespace(get_oauth=lambda kind_name: oauth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("credentials.health.expiry.get_registry", lambda: registry)
        return forecast_expiry(row, kind)


UNKNOWN = Refresh(None, None, None, None, None)
FIGMA = get_registry().kinds["figma_oauth2"]


def requires_external_id() -> bool:
    with pytest.raises(InvalidInputError):
        require_account_identity(replace(FIGMA, connect=None), "")
    return True


WITHOUT_FACT: dict[str, Callable[[], bool]] = {
    "oauth": lambda: build_provider(make_document(oauth=None)).oauth is None,
    "api.auth": lambda: (
        build_provider(make_document(api={"base_url": "https://a.example", "auth": None})).auth
        is None
    ),
    "api.limits": lambda: (
        replace(get_registry().providers["figma"], limits=None).get_enforced_limits("x") == []
    ),
    "oauth.authorize_url": lambda: raises(
        "not_supported",
        lambda: build_authorization_url(
            replace(CLIENT, oauth=replace(WITHOUT_FACTS, authorize_url=None)),
            redirect_uri="r",
            state="s",
            scopes=(),
            verifier=None,
        ),
    ),
    "oauth.revocation_url": lambda: raises(
        "not_supported", lambda: revoke_token(CLIENT, token=Secret("t"), hint=None)
    ),
    "oauth.revocation": lambda: raises(
        "not_supported", lambda: revoke_token(CLIENT, token=Secret("t"), hint=None)
    ),
    "oauth.introspection_url": lambda: raises(
        "not_supported", lambda: introspect_token(CLIENT, token=Secret("t"))
    ),
    # A foreign server is rejected whatever the file says.
    "oauth.issuer": lambda: (
        is_expected_issuer(CLIENT, "", "https://auth.example.com/tenant")
        and not is_expected_issuer(CLIENT, "", "https://evil.example")
    ),
    "oauth.iss": lambda: is_expected_issuer(CLIENT, "https://auth.example.com", None),
    "oauth.pkce": lambda: "code_challenge" not in build_params(WITHOUT_FACTS),
    "oauth.client_auth": lambda: raises(
        "client_auth_unknown",
        lambda: build_client_authentication(None, client_id="c", secret=Secret("s"), url="u"),
    ),
    "oauth.refresh_url": lambda: get_token_host(CLIENT) == "auth.example.com",
    # A second request at the same time is only safe if the provider says that tokens do not rotate.
    "oauth.refresh.rotates": lambda: (
        compute_lease_seconds(UNKNOWN, responds_fast=False) == LONGEST_LEASE
    ),
    "oauth.refresh.grace_seconds": lambda: (
        compute_lease_seconds(UNKNOWN, responds_fast=False) == LONGEST_LEASE
    ),
    "oauth.refresh.idle_days": lambda: forecast(UNKNOWN) is None,
    "oauth.refresh.lifetime_days": lambda: forecast(UNKNOWN) is None,
    "oauth.refresh.access_token_seconds": lambda: compute_first_refresh_delay(3600, None) < 3600,
    "oauth.revocation.token_field": lambda: True,  # An error of the check unless `auth` is bearer.
    "kinds.grant": lambda: not replace(FIGMA, grant=None).refreshes,
    "kinds.probe": lambda: not can_be_checked(replace(FIGMA, probe=None, grant=None)),
    "kinds.connect": requires_external_id,
    "kinds.connect.call": lambda: True,  # An error of the check if a property comes from it.
    "kinds.connect.call.json": lambda: True,  # A request without a body.
}


def find_nullable(schema: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the path of each field that may be null."""
    if "$ref" in part:
        part = {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part}
    if path.startswith(("oauth_sections", "variables.", "facts")):
        return  # Sections are as `oauth`.
    types = part.get("type", [])
    branches = part.get("anyOf", [])
    if "null" in types or None in part.get("enum", ()) or {"type": "null"} in branches:
        yield path
    for branch in (part, *branches, *part.get("oneOf", [])):
        if "$ref" in branch and branch is not part:
            branch = schema["$defs"][branch["$ref"].rpartition("/")[2]]
        for name, inner in branch.get("properties", {}).items():
            if isinstance(inner, dict):
                yield from find_nullable(schema, inner, f"{path}.{name}".lstrip("."))
    if path == "kinds" and isinstance(part.get("additionalProperties"), dict):
        yield from find_nullable(schema, part["additionalProperties"], path)


def test_each_nullable_field_is_listed():
    schema = orjson.loads((DATA_DIR.parent / "schema.json").read_bytes())
    assert set(find_nullable(schema, schema, "")) == set(WITHOUT_FACT)


@pytest.mark.parametrize("path", sorted(WITHOUT_FACT))
def test_nothing_acts_on_null(path):
    assert WITHOUT_FACT[path]()
