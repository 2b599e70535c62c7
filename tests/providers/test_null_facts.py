"""A fact that a file does not state is never acted on."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from oauth_apps.protocol import OAuthClient, build_authorization_url, generate_code_verifier
from providers.kinds import OAuth, Refresh
from providers.registry import get_registry

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
