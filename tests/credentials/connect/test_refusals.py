"""What is not as it should be: refused with a page or an error and an event, and nothing connected."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import pytest

from credentials.connect.models import AuthorizationAttempt, PendingGrant
from credentials.models import Credential, Revocation
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    approved,
    authorize_address,
    begin,
    exchange,
    query,
    reasons,
    verbs,
    why,
)

CHALLENGE = "c" * 43


def nothing_connected() -> bool:
    return not Credential.objects.exists() and not PendingGrant.objects.exists()


def is_page(answer: Any) -> None:
    """A page of ours: whole, strict, kept nowhere, and without a secret in it."""
    assert answer["Content-Type"].startswith("text/html")
    assert b"<h1>" in answer.content
    assert b"<script" not in answer.content
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    has_form = b"<form" in answer.content
    assert answer["Referrer-Policy"] == ("same-origin" if has_form else "no-referrer")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_authorize_needs_its_parameters(browser, app, name, value):
    answer = browser.open(authorize_address(app, **{name: value}))
    assert answer.status_code == 400
    is_page(answer)
    assert name.encode() in answer.content
    assert not AuthorizationAttempt.objects.exists()
    assert name == "client_id" or reasons() == ["bad_request"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "client-1"),
        ("client_id", "01989aa0-0000-7000-8000-000000000000"),
        ("redirect_uri", "https://evil.example/connected"),
        ("state", "x" * 1025),
        ("state", "\x00"),
        ("scope", ""),
        ("scope", "admin"),
        ("scope", "read admin"),
        ("scope", "read  write"),
        ("scope", "read read"),
        ("scope", '"'),
        ("response_type", "token"),
        ("response_type", ""),
        ("kind", "alpha_key"),
        ("kind", "beta_oauth2"),
        ("kind", ""),
        ("kind", None),
        ("external_id", ""),
        ("external_id", "x" * 256),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("code_challenge_method", "plain"),
    ],
)
def test_authorize_refuses_what_is_wrong(browser, app, other_app, name, value):
    answer = browser.open(authorize_address(app, **{name: value}))
    assert answer.status_code == 400
    assert not AuthorizationAttempt.objects.exists()


@pytest.mark.parametrize("challenge", ["", "short", "c" * 44, "c" * 42 + "="])
def test_authorize_takes_no_challenge_but_s256(browser, app, challenge):
    for method in ("S256", "plain", ""):
        address = authorize_address(app, code_challenge=challenge, code_challenge_method=method)
        assert browser.open(address).status_code == 400


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "kind"])
def test_authorize_refuses_a_parameter_twice(browser, app, name):
    address = authorize_address(app, scope="read")
    value = query(address)[name]
    for second in (value, "other"):
        answer = browser.open(f"{address}&{name}={quote(second)}")
        assert answer.status_code == 400
    assert not AuthorizationAttempt.objects.exists()


OPEN_REDIRECTS = [
    "https://evil.example/connected",
    "https://acme.example/connected/",
    "https://acme.example/connected?x=1",
    "https://acme.example/connected#x",
    "https://acme.example/CONNECTED",
    "https://ACME.example/connected",
    "https://acme.example/connected/../evil",
    "https://acme.example/%63onnected",
    "https://acme.example:443/connected",
    "https://acme.example@evil.example/connected",
    "https://acme.example.evil.example/connected",
    "https://acme.example\\@evil.example/connected",
    "https://evil.example\\.acme.example/connected",
    "http://acme.example/connected",
    "//acme.example/connected",
    "///evil.example",
    "/connected",
    "https:acme.example/connected",
    "https:///acme.example/connected",
    "javascript:alert(1)",
    "data:text/html,x",
    " https://acme.example/connected",
    "https://acme.example/connected ",
    "https://acme.example/connected\r\nLocation: https://evil.example",
    "https://acme.example/connected%0d%0aX: y",
    "https://аcme.example/connected",
    "https://acme.example/connected\u200b",
]


@pytest.mark.parametrize("uri", OPEN_REDIRECTS)
def test_no_redirect_but_to_an_address_that_is_registered(browser, app, uri):
    answer = browser.open(authorize_address(app, redirect_uri=uri))
    assert answer.status_code == 400
    assert "Location" not in answer
    assert b"evil.example" not in answer.content
    assert reasons() == ["bad_request"]


@pytest.mark.parametrize("uri", OPEN_REDIRECTS)
def test_no_link_returns_to_an_address_that_is_not_registered(api, app, uri):
    sent = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2", "return_to": uri}
    answer = api.post("/v1/connect-links", sent)
    assert answer.status_code == 422
    assert "return_to" in answer.json()["validation_errors"]


def callback(app: Any, **sent: str) -> str:
    pairs = "&".join(f"{name}={quote(value)}" for name, value in sent.items())
    return f"/link/oauth2/callback/alpha/{app.id}?{pairs}"


@pytest.mark.parametrize("name", ["state", "code"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_the_callback_needs_state_and_code(browser, app, alpha, name, value):
    answer = browser.open(alpha.approve(begin(browser, app), **{name: value}))
    assert answer.status_code == 400
    is_page(answer)
    assert nothing_connected()
    assert verbs()[-1] in {"connect.refused", "connect.failed"}


@pytest.mark.parametrize("name", ["state", "code", "iss", "error", "error_description", "realmId"])
def test_the_callback_refuses_a_parameter_twice(browser, app, alpha, name):
    address = alpha.approve(begin(browser, app))
    value = query(address).get(name, "x")
    twice = f"{address}&{name}={quote(value)}"
    answer = browser.open(twice if name in query(address) else f"{twice}&{name}=y")
    assert answer.status_code == 400
    assert nothing_connected()
    assert verbs()[-1] == "connect.refused"
    assert not alpha.token_calls


@pytest.mark.parametrize("state", ["x", "s" * 43, "../..", "%00", "s" * 4097, "' OR 1=1 --"])
def test_a_state_that_nobody_made(browser, app, alpha, state):
    begin(browser, app)
    answer = browser.open(callback(app, state=state, code="code-1"))
    assert answer.status_code == 400
    is_page(answer)
    assert state.encode() not in answer.content or state == "x"
    assert verbs()[-1] == "connect.refused"


def test_a_state_works_once(browser, app, alpha):
    address = alpha.approve(begin(browser, app))
    assert browser.open(address).status_code == 303
    answer = browser.open(address)
    assert answer.status_code == 400
    assert b"done already" in answer.content
    assert len(alpha.token_calls) == 1
    assert reasons() == ["state_used"]


def test_a_state_works_once_even_if_the_first_answer_was_wrong(browser, app, alpha):
    address = alpha.approve(begin(browser, app))
    wrong = address.replace("code=code", "code=stolen")
    assert browser.open(wrong).status_code == 400
    assert browser.open(address).status_code == 400
    assert nothing_connected()


def test_a_state_ends_after_ten_minutes(browser, app, alpha, settings):
    address = alpha.approve(begin(browser, app))
    settings.CLOCK_SHIFT_SECONDS = 601
    answer = browser.open(address)
    assert answer.status_code == 400
    assert b"took too long" in answer.content
    assert reasons() == ["state_expired"]
    assert not alpha.token_calls


@pytest.mark.parametrize("has_cookie", [False, True], ids=["fresh", "another's"])
def test_a_state_is_for_the_browser_that_began(browser, app, alpha, has_cookie):
    """Session fixation: one starts, another finishes."""
    victim = Browser()
    if has_cookie:
        begin(victim, app)
    answer = victim.open(alpha.approve(begin(browser, app)))
    assert answer.status_code == 403
    is_page(answer)
    assert not alpha.token_calls
    assert nothing_connected()
    assert reasons() == ["other_browser"]


@pytest.mark.parametrize("cookie", ["", "x", "c" * 43, "c" * 5000])
def test_a_cookie_that_we_did_not_make_is_none(browser, app, alpha, cookie):
    address = alpha.approve(begin(browser, app))
    browser.client.cookies["connect"] = cookie
    assert browser.open(address).status_code == 403


def test_a_cookie_that_was_planted_is_replaced(browser, app):
    browser.client.cookies["connect"] = "planted"
    begin(browser, app)
    assert len(browser.client.cookies["connect"].value) == 43


@pytest.mark.parametrize("iss", ["https://evil.example", "", "null", "ISS/", "http://127.0.0.1"])
def test_an_answer_of_another_issuer(browser, app, alpha, iss):
    answer = browser.open(alpha.approve(begin(browser, app), iss=iss.replace("ISS", alpha.url)))
    assert answer.status_code == 400
    assert not alpha.token_calls
    assert nothing_connected()


def test_an_issuer_may_not_be_left_out_where_the_provider_sends_it(browser, app, alpha):
    answer = browser.open(alpha.approve(begin(browser, app), iss=None))
    assert answer.status_code == 400
    assert reasons() == ["wrong_issuer"]


def test_an_issuer_may_be_left_out_where_nothing_says_that_it_is_sent(browser, app, alpha, says):
    says(iss=None)
    assert browser.open(alpha.approve(begin(browser, app), iss=None)).status_code == 303
    wrong = alpha.approve(begin(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


def test_an_issuer_that_no_file_has_is_held_to_the_providers_own_host(browser, app, alpha, says):
    says(iss=None, issuer=None)
    assert browser.open(alpha.approve(begin(browser, app))).status_code == 303
    wrong = alpha.approve(begin(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


PARTS = ("state", "callback", "iss", "code")


@pytest.mark.parametrize(
    "swapped",
    [set(pair) for size in (1, 2, 3) for pair in itertools.combinations(PARTS, size)],
    ids=lambda parts: "+".join(part for part in PARTS if part in parts),
)
def test_no_part_of_one_servers_answer_passes_for_the_others(
    browser, app, other_app, alpha, beta, swapped
):
    """Mix-up: two attempts of one browser, and an answer made of parts of both."""
    at_alpha = alpha.approve(begin(browser, app))
    at_beta = beta.approve(begin(browser, other_app))
    sent = query(at_alpha)
    for name in ("state", "iss", "code"):
        if name in swapped:
            sent[name] = query(at_beta)[name]
    path = (at_beta if "callback" in swapped else at_alpha).partition("?")[0]
    answer = browser.open(f"{path}?" + "&".join(f"{n}={quote(v)}" for n, v in sent.items()))
    assert answer.status_code == 400
    is_page(answer)
    assert nothing_connected()
    assert verbs()[-1] in {"connect.refused", "connect.failed"}
    taken = alpha.token_calls + beta.token_calls
    assert bool(taken) == (swapped in ({"code"}, {"state", "callback", "iss"}))


def test_an_answer_with_nothing_swapped_passes(browser, app, other_app, alpha, beta):
    at_alpha, at_beta = begin(browser, app), begin(browser, other_app)
    assert browser.open(beta.approve(at_beta)).status_code == 303
    assert browser.open(alpha.approve(at_alpha)).status_code == 303


def test_the_callback_of_another_app_at_the_same_provider(browser, app, account, alpha):
    from tests.factories import make_app

    second = make_app(account, "alpha", redirect_uris=[RETURN])
    address = alpha.approve(begin(browser, app)).replace(str(app.id), str(second.id))
    assert browser.open(address).status_code == 400
    assert reasons() == ["wrong_callback"]


def test_the_short_callback_is_for_apps_that_chose_it(browser, app, alpha):
    address = alpha.approve(begin(browser, app)).replace(f"/{app.id}", "")
    assert browser.open(address).status_code == 400
    assert reasons() == ["wrong_callback"]


def test_the_user_says_no(browser, app, alpha):
    address = begin(browser, app)
    state = query(address)["state"]
    sent = {"state": state, "error": "access_denied", "error_description": "<script>x</script>"}
    answer = browser.open(callback(app, **sent, iss=alpha.url))
    assert answer.status_code == 400
    is_page(answer)
    assert b"You did not give access" in answer.content
    back = f"{RETURN}?error=access_denied&amp;state=company-state"
    assert back.encode() in answer.content
    assert verbs()[-1] == "connect.denied"
    assert why() == "access_denied"
    assert nothing_connected()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("invalid_scope", "server_error"),
        ("server_error", "temporarily_unavailable"),
        ("nonsense<b>", "server_error"),
        ("x" * 3000, "server_error"),
    ],
    ids=["scope", "outage", "markup", "long"],
)
def test_the_provider_says_no(browser, app, alpha, error, told):
    state = query(begin(browser, app))["state"]
    answer = browser.open(callback(app, state=state, error=error, iss=alpha.url))
    assert answer.status_code in {400, 503}
    assert f"{RETURN}?error={told}&amp;state=company-state".encode() in answer.content
    assert error == told or error.encode() not in answer.content.replace(told.encode(), b"")
    assert verbs()[-1] == "connect.failed"
    assert nothing_connected()


def test_an_error_beside_a_code_wins(browser, app, alpha):
    answer = browser.open(alpha.approve(begin(browser, app), error="access_denied"))
    assert answer.status_code == 400
    assert not alpha.token_calls


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (400, {"error": "invalid_grant"}, "provider_refused"),
        (400, {"error": "invalid_request"}, "provider_refused"),
        (401, {"error": "invalid_client"}, "app_wrong"),
        (500, {}, "provider_unavailable"),
        (429, {}, "provider_unavailable"),
        (200, {"error": "invalid_grant"}, "provider_refused"),
        (200, {}, "provider_unavailable"),
        (200, {"access_token": ""}, "provider_unavailable"),
        (200, {"access_token": "a", "token_type": "mac"}, None),
    ],
)
def test_an_exchange_that_brings_nothing(browser, app, alpha, status, document, code):
    alpha.token_answer = (status, document)
    answer = browser.open(alpha.approve(begin(browser, app)))
    assert answer.status_code in {400, 503}
    is_page(answer)
    assert code is None or reasons() == [code]
    assert nothing_connected()
    assert not Revocation.objects.exists()


def test_a_provider_that_is_down(browser, app, alpha, settings):
    address = alpha.approve(begin(browser, app))
    settings.EGRESS_ALLOW = ""
    answer = browser.open(address)
    assert answer.status_code in {400, 503}
    assert verbs()[-1] == "connect.failed"


@pytest.mark.parametrize("lost", ["workspace", "refresh_token"])
def test_a_grant_that_does_not_say_whose_it_is_is_given_back(browser, app, alpha, lost):
    alpha.without = {lost}
    answer = browser.open(alpha.approve(begin(browser, app)))
    assert answer.status_code == 400
    assert lost.encode() in answer.content
    assert reasons() == ["answer_incomplete"]
    assert nothing_connected()
    assert Revocation.objects.get().kind == "alpha_oauth2"


def test_a_verifier_that_was_taken_away_is_missed_by_the_provider(browser, app, alpha):
    """PKCE downgrade: the challenge is stripped on the way, so that a stolen code would do."""
    address = begin(browser, app)
    challenge = query(address)["code_challenge"]
    stripped = address.replace(f"&code_challenge={challenge}&code_challenge_method=S256", "")
    assert "code_challenge" not in stripped
    answer = browser.open(alpha.approve(stripped))
    assert answer.status_code == 400
    assert nothing_connected()


def test_the_verifier_of_one_attempt_is_no_others(browser, app, alpha):
    first, second = begin(browser, app), begin(browser, app)
    assert query(first)["code_challenge"] != query(second)["code_challenge"]
    injected = alpha.approve(first).replace(query(first)["state"], query(second)["state"])
    assert browser.open(injected).status_code == 400
    assert nothing_connected()


def test_a_code_works_once_and_its_second_use_gives_the_grant_back(browser, app, alpha):
    code = approved(browser, app, alpha)
    assert exchange(app, code).status_code == 200
    answer = exchange(app, code)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert Revocation.objects.get().kind == "alpha_oauth2"
    assert reasons() == ["replayed"]
    assert exchange(app, code).status_code == 400


def test_a_second_use_ends_even_what_was_imported(browser, app, alpha, api):
    code = approved(browser, app, alpha)
    api.post("/v1/credentials", exchange(app, code).json()["credential"])
    exchange(app, code)
    assert Revocation.objects.count() == 1


def test_a_code_ends_after_ten_minutes(browser, app, alpha, settings):
    code = approved(browser, app, alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert exchange(app, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["code", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_the_exchange_needs_its_fields(browser, app, alpha, name, value):
    code = approved(browser, app, alpha)
    answer = exchange(app, code, **{name: value})
    assert answer.status_code == 422
    assert name in answer.json()["validation_errors"]
    assert exchange(app, code).status_code == 200


@pytest.mark.parametrize(
    ("name", "value", "status", "error"),
    [
        ("code", "c" * 43, 400, "invalid_grant"),
        ("client_id", "01989aa0-0000-7000-8000-000000000000", 401, "invalid_client"),
        ("client_id", "client-1", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        ("client_secret", "**********", 401, "invalid_client"),
        ("redirect_uri", "https://evil.example/", 400, "invalid_grant"),
        ("code_verifier", "v" * 43, 400, "invalid_grant"),
        ("grant_type", "refresh_token", 422, None),
        ("nope", "x", 422, None),
    ],
)
def test_the_exchange_refuses_what_is_wrong(browser, app, alpha, name, value, status, error):
    code = approved(browser, app, alpha)
    answer = exchange(app, code, **{name: value})
    assert answer.status_code == status
    assert answer.json().get("error") == error
    assert value.encode() not in answer.content or name in {"grant_type", "nope"}
    assert exchange(app, code).status_code == 200


def test_the_exchange_refuses_a_field_twice(browser, app, alpha):
    from tests.api import Api

    code = approved(browser, app, alpha)
    raw = (
        f'{{"code": "{code}", "code": "x", "client_id": "{app.id}", "client_secret": "app-secret"}}'
    )
    assert Api().post("/link/oauth2/token", raw.encode()).status_code == 400


def test_a_code_is_its_own_apps(browser, app, other_app, alpha):
    code = approved(browser, app, alpha)
    assert exchange(other_app, code).json()["error"] == "invalid_grant"
    assert exchange(app, code).status_code == 200


@pytest.mark.parametrize("verifier", [None, "w" * 43, "v" * 42, "v" * 44])
def test_a_challenge_of_the_companys_is_held(browser, app, alpha, verifier):
    from tests.credentials.connect.test_documented_flows import CHALLENGE as OURS

    code = approved(browser, app, alpha, code_challenge=OURS, code_challenge_method="S256")
    assert exchange(app, code, code_verifier=verifier).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "path", ["/link/oauth2/authorize", "/link/oauth2/callback/alpha", "/link/oauth2/start/x"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_pages_are_for_looking_at_alone(db, path, method):
    client = Browser().client
    client.handler.enforce_csrf_checks = False
    assert client.generic(method, path).status_code == 405


def test_a_token_in_the_address_is_no_login(db):
    from tests.api import Api

    assert Api().get("/link/oauth2/token?code=x").status_code == 405


def test_strays_do_not_fill_the_trail(browser, app):
    for _ in range(70):
        browser.open(callback(app, state="x", code="y"))
    assert len(reasons()) == 60


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    from django.core.cache import cache

    cache.clear()
