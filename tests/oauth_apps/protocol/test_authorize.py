"""The URL of the authorization request."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    OAuthClient,
    build_authorization_url,
    generate_code_verifier,
)
from oauth_apps.protocol.authorize import compute_code_challenge
from providers import quirks
from tests.oauth_apps.protocol.conftest import make_oauth
from tests.oauth_apps.protocol.provider import fields
from vault.secret import Secret

VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


def url_of(variables: dict[str, str] | None = None, **more) -> str:
    request: dict[str, Any] = {
        "redirect_uri": "https://lk.example/cb",
        "state": "st",
        "scopes": (),
        "verifier": None,
    }
    request |= {name: more.pop(name) for name in list(more) if name in request}
    client = OAuthClient(
        oauth=make_oauth(**more), client_id="c 1", secrets=(), variables=variables or {}
    )
    return build_authorization_url(client, **request)


def params_of(**more) -> dict[str, str]:
    return fields(urlsplit(url_of(**more)).query)


def test_the_plain_request():
    assert url_of() == (
        "https://auth.example.com/authorize?response_type=code&client_id=c%201"
        "&redirect_uri=https%3A%2F%2Flk.example%2Fcb&state=st"
    )


def test_the_challenge_is_that_of_rfc_7636_appendix_b():
    found = params_of(verifier=VERIFIER, pkce=True)
    assert found["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert found["code_challenge_method"] == "S256"
    assert "code_verifier" not in found


@pytest.mark.parametrize("pkce", [False, None])
def test_no_challenge_unless_the_file_says_that_the_provider_accepts_it(pkce):
    assert not {"code_challenge", "code_challenge_method"} & set(
        params_of(verifier=VERIFIER, pkce=pkce)
    )


def test_scopes_are_joined_as_the_provider_wants_them():
    found = params_of(scopes=["a:b", "c"], scope_separator=",", scope_param="user_scope")
    assert (found["user_scope"], found.get("scope")) == ("a:b,c", None)


def test_without_scopes_there_is_no_parameter():
    assert "scope" not in params_of(scopes=[], default_scopes=("read",))


def test_static_parameters_are_added_and_replace_none_of_ours():
    found = params_of(authorize_params={"access_type": "offline", "state": "theirs"})
    assert (found["access_type"], found["state"]) == ("offline", "st")


def test_a_quirk_changes_the_parameters(monkeypatch):
    monkeypatch.setitem(
        quirks.AUTHORIZATION_REQUEST,
        "renamed",
        lambda params: {"app": params["client_id"], "x": "1"},
    )
    assert params_of(quirks=("renamed",)) == {"app": "c 1", "x": "1"}


def test_the_apps_variables_are_in_the_host():
    url = url_of({"shop": "Arrakis"}, authorize_url="https://{shop}.example.com/auth")
    assert url.startswith("https://arrakis.example.com/auth?")


def test_a_provider_without_the_endpoint():
    with pytest.raises(OAuth2Error) as caught:
        url_of(authorize_url=None)
    assert (type(caught.value), caught.value.code) == (OAuth2Error, "not_supported")


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(AppError, match="The value of shop is not set"):
        url_of(authorize_url="https://{shop}.example.com/auth")


def test_verifiers_are_good_and_never_the_same():
    verifiers = {generate_code_verifier().expose() for _ in range(50)}
    assert len(verifiers) == 50
    assert all(len(compute_code_challenge(Secret(verifier))) == 43 for verifier in verifiers)


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 129, "a" * 42 + "!", "ä" * 43])
def test_invalid_verifier_raises(text):
    with pytest.raises(ValueError, match="verifier"):
        compute_code_challenge(Secret(text))
