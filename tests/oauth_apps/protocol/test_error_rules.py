"""The meaning of failed refreshes, by the documented responses of providers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from egress import Response
from oauth_apps.protocol import AppError, OAuth2Error, TransientError, UserError
from oauth_apps.protocol.error_rules import find_values, names_dead_token
from oauth_apps.protocol.responses import parse_token_response
from providers.kinds import OAuth
from providers.registry import get_registry
from tests.oauth_apps.protocol.conftest import make_oauth

# The provider, the response's status, its body, and whose fault it is.
GRANT, APP, NOBODY = UserError, AppError, TransientError
RESPONSES: list[tuple[str, int, Any, type[OAuth2Error]]] = [
    ("atlassian", 403, {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}, GRANT),
    ("atlassian", 403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}, GRANT),
    ("google", 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, GRANT),
    ("google", 401, {"error": "unauthorized_client", "error_description": "Unauthorized"}, GRANT),
    ("google", 401, {"error": "invalid_client", "error_description": "The OAuth client was not found."}, APP),
    ("google", 401, {"error": "deleted_client", "error_description": "The OAuth client was deleted."}, APP),
    ("google", 401, {"error": "disabled_client", "error_description": "The OAuth client was disabled."}, APP),
    ("twitch", 400, {"error": "Bad Request", "status": 400, "message": "Invalid refresh token"}, GRANT),
    ("twitch", 400, {"status": 400, "message": "Invalid refresh token"}, GRANT),
    ("reddit", 400, {"message": "Bad Request", "error": 400}, GRANT),
    ("reddit", 401, {"message": "Unauthorized", "error": 401}, APP),
    ("atlassian", 401, {"error": "access_denied", "error_description": "Unauthorized"}, APP),
    ("auth0", 401, {"error": "access_denied", "error_description": "Unauthorized"}, APP),
    ("twitch", 403, {"status": 403, "message": "invalid client secret"}, APP),
    ("hubspot", 400, {"status": "BAD_CLIENT_SECRET", "message": "missing or unknown client secret"}, APP),
    ("linkedin", 400, {"error": "invalid_request", "error_description": "The provided authorization grant or refresh token is invalid, expired or revoked"}, GRANT),
    ("slack", 200, {"ok": False, "error": "ratelimited"}, NOBODY),
    # github.com/dreeveapp/dreeve, issue 1449 (read 2026-12-01).
    ("strava", 400, {"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]}, GRANT),
    ("strava", 400, {"message": "Bad Request", "errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}]}, APP),
    # nango.dev/blog/hubspot-oauth-bad-refresh-token (read 2026-12-01).
    ("hubspot", 400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, GRANT),
    ("discord", 400, {"error": "invalid_grant"}, GRANT),
    # github.com/raycast/extensions, issue 10896 (read 2026-12-01).
    ("zoom", 400, {"reason": "Invalid Token!", "error": "invalid_grant"}, GRANT),
    ("zoom", 401, {"reason": "Invalid Token!", "error": "invalid_request"}, GRANT),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [700082], "error_description": "AADSTS700082: The refresh token has expired due to inactivity."}, GRANT),
    ("microsoft", 400, {"error": "unauthorized_client", "error_codes": [700016], "error_description": "AADSTS700016: Application not found in the directory."}, GRANT),
    ("microsoft", 401, {"error": "invalid_client", "error_codes": [7000222], "error_description": "AADSTS7000222: The provided client secret keys are expired."}, APP),
    ("microsoft", 401, {"error": "invalid_client", "error_codes": [7000215], "error_description": "AADSTS7000215: Invalid client secret is provided."}, APP),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [50173], "error_description": "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is needed."}, GRANT),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [65001], "error_description": "AADSTS65001: The user or administrator has not consented to use the application."}, GRANT),
    ("microsoft", 400, {"error": "interaction_required", "error_codes": [50076], "error_description": "AADSTS50076: You must use multi-factor authentication to access the resource."}, GRANT),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [70043], "error_description": "AADSTS70043: The refresh token has expired or is invalid due to sign-in frequency checks."}, GRANT),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [90033], "error_description": "AADSTS90033: A transient error has occurred. Please try again."}, NOBODY),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [90055], "error_description": "AADSTS90055: Too many incoming requests."}, NOBODY),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [50196], "error_description": "AADSTS50196: The server terminated an operation because it encountered a client request loop."}, NOBODY),
    ("salesforce", 400, {"error": "invalid_grant", "error_description": "expired access/refresh token"}, GRANT),
    ("salesforce", 400, {"error": "invalid_grant", "error_description": "expired authorization code"}, NOBODY),
    ("slack", 200, {"ok": False, "error": "invalid_refresh_token"}, GRANT),
    ("slack", 200, {"ok": False, "error": "bad_client_secret"}, APP),
    ("slack", 200, {"ok": False, "error": "invalid_client_id"}, APP),
    ("slack", 200, {"ok": False, "error": "fatal_error"}, NOBODY),
    ("discord", 400, {"error": "invalid_request", "error_description": 'Invalid "refresh_token" in request.'}, GRANT),
    ("dropbox", 400, {"error": "invalid_grant", "error_description": "refresh token is malformed"}, GRANT),
    ("dropbox", 400, {"error": "invalid_client: Invalid client_id or client_secret"}, APP),
    ("zoom", 400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}, APP),
    ("zoom", 400, {"reason": "Invalid client secret.", "error": "invalid_request"}, APP),
    ("notion", 400, {"object": "error", "status": 400, "code": "invalid_grant", "message": "Invalid code: this code has been revoked."}, GRANT),
    ("notion", 429, {"object": "error", "status": 429, "code": "rate_limited", "message": "You have been rate limited."}, NOBODY),
    ("zendesk", 400, {"error": "invalid_grant", "error_description": "The provided access grant is invalid, expired, or revoked."}, GRANT),
    ("square", 401, {"message": "Invalid refresh token", "type": "service.not_authorized"}, GRANT),
    ("netsuite", 400, {"error": "invalid_grant"}, GRANT),
    ("netsuite", 401, {"error": "invalid_client"}, APP),
    ("quickbooks", 400, {"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"}, GRANT),
    ("quickbooks", 401, {"error": "invalid_client"}, APP),
    ("github", 200, {"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."}, GRANT),
    ("github", 200, {"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."}, APP),
    ("xero", 400, {"error": "invalid_grant"}, GRANT),
    ("xero", 400, {"error": "invalid_client"}, APP),
    ("klaviyo", 400, {"error": "invalid_grant_type"}, GRANT),
    ("box", 409, {}, NOBODY),
    ("box", 400, {"error": "invalid_grant", "error_description": "Refresh token has expired"}, GRANT),
    ("quickbooks", 400, {"error": "invalid_grant", "error_description": "Incorrect Token type or clientID"}, GRANT),
    ("dropbox", 400, {"error": "invalid_grant", "error_description": "refresh token is invalid or revoked"}, GRANT),
]  # fmt: skip


def error_of(
    document: Any, status: int, oauth: OAuth | None = None, *, refreshing: bool = True
) -> OAuth2Error:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(OAuth2Error) as caught:
        parse_token_response(
            Response(status, (), body), oauth or make_oauth(), refreshing=refreshing
        )
    return caught.value


@pytest.mark.parametrize(
    ("slug", "status", "document", "kind"),
    RESPONSES,
    ids=[f"{slug}-{number}" for number, (slug, *_) in enumerate(RESPONSES)],
)
def test_provider_rules_decide_what_a_response_means(slug, status, document, kind):
    oauth = get_registry().providers[slug].oauth
    assert oauth
    assert type(error_of(document, status, oauth)) is kind


DEAD = [
    (200, {"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."}),
    (400, {"error": "invalid_refresh_token"}),
    (400, {"errors": [{"code": "invalid_grant"}]}),
    (400, {"error_code": "invalid_grant"}),
    (401, {"error": {"code": "invalid_grant", "message": "no"}}),
    (400, {"error": "invalid_request", "error_description": "The refresh_token is invalid.", "status": "error"}),
    (401, {"message": "Refresh token not found"}),
    (403, {"detail": "Refresh token has expired"}),
    (400, {"error": "unauthorized_client", "error_description": "Invalid or expired refresh token"}),
    # As LinkedIn and HubSpot are reported to word it; their pages were not read.
    (400, {"error": "invalid_request", "error_description": "The provided authorization grant or refresh token is invalid, expired or revoked"}),
    (400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"}),
    (400, {"error": "expired_refresh_token"}),
    # Keycloak, Auth0 and Okta say more in words, but their code is enough. Other casing, other names.
    (400, {"error": "invalid_grant", "error_description": "Session not active"}),
    (400, {"error": "invalid_grant", "error_description": "Maximum allowed refresh token reuse exceeded"}),
    # support.auth0.com: "Troubleshoot Refresh Token Unknown or Invalid Before Expiry" (read 2026-12-01).
    (403, {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}),
    (400, {"errorCode": "invalid_grant", "errorSummary": "The refresh token is invalid or expired."}),
    (400, {"error": "INVALID_GRANT"}),
    (400, {"Error": "invalid_grant"}),
    (400, {"Message": "Refresh token is invalid"}),
    (400, {"errors": ["Invalid refresh token"]}),
    (400, {"errors": "Invalid refresh token"}),
    (400, {"title": "Invalid refresh token"}),
    (400, {"error": {"error": "invalid_grant", "error_description": "x"}}),
    (400, {"error": "refresh_token_expired"}),
    (400, {"error": "REFRESH_TOKEN_REVOKED"}),
    (400, {"error_code": "refresh_token_not_found", "msg": "Invalid Refresh Token: Refresh Token Not Found"}),
    (400, {"code": "refresh_token_already_used", "msg": "Invalid Refresh Token: Already Used"}),
    (401, {"error": "invalid_token", "error_description": "Invalid refresh token (expired): abc"}),
    (400, b"error=invalid_grant&error_description=expired"),
    (400, [{"error": "invalid_grant"}]),
    (401, [{"message": "Refresh token has expired", "errorCode": "INVALID"}]),
    # Status 200 without tokens.
    (200, {"success": False, "error": {"code": "invalid_refresh_token"}}),
    (200, {"errcode": 42002, "errmsg": "refresh_token expired"}),
    (200, {"status": "error", "message": "The refresh token is invalid"}),
]  # fmt: skip
REJECTED_APP = [
    # Auth0 (github.com/trufflesecurity/trufflehog, pkg/detectors/auth0oauth, read 2026-11-30).
    (401, {"error": "access_denied", "error_description": "Unauthorized"}),
    # Twitch (github.com/nicklaw5/helix, read 2026-11-30).
    (403, {"status": 403, "message": "invalid client secret"}),
    (400, {"status": "BAD_CLIENT_ID", "message": "missing or unknown client id"}),
    (401, {"error": "Unauthorized", "message": "Client authentication failed"}),
    (400, {"error": "invalid_request", "error_description": "The client_id is not valid."}),
    (400, {"error": "invalid_client_credentials"}),
    (401, {"message": "Client secret has expired"}),
    (
        401,
        {"error": {"message": "Error validating client secret.", "type": "Exception", "code": 1}},
    ),
    (401, {"error": "invalid_client", "error_description": "Bad client credentials"}),
    (401, {"errorCode": "invalid_client", "errorSummary": "Invalid value for 'client_id'."}),
    (200, {"message": "The client secret is invalid"}),
]
UNAVAILABLE = [
    # As Slack and Salesforce are reported to word it; their pages were not read.
    (200, {"ok": False, "error": "ratelimited"}, "rate_limited"),
    (200, {"ok": False, "error": "internal_error"}, "server_error"),
    (200, {"ok": False, "error": "service_unavailable"}, "temporarily_unavailable"),
    (400, {"error": "rate_limit_exceeded"}, "rate_limited"),
    (403, {"error": "access_denied"}, "unknown_error"),
    (400, {"message": "The client is not allowed to use this code"}, "unknown_error"),
    (400, {"message": "Unknown user of this client id"}, "unknown_error"),
    (401, {"message": "Invalid client or refresh token"}, "unknown_error"),
    (500, {"message": "invalid client secret"}, "server_error"),
    (200, {"message": "Welcome"}, "unreadable_answer"),
    (200, b"<html>The refresh token is invalid</html>", "unreadable_answer"),
    (403, b"<html>invalid_grant</html>", "unknown_error"),
    (502, b"<html>Bad gateway</html>", "server_error"),
    (401, {"error": "unauthorized", "error_description": "Bad credentials"}, "unknown_error"),
]


@pytest.mark.parametrize(("status", "document"), REJECTED_APP)
def test_common_messages_of_a_rejected_app(status, document):
    error = error_of(document, status)
    assert (type(error), error.code) == (AppError, "invalid_client")


@pytest.mark.parametrize(("status", "document", "code"), UNAVAILABLE)
def test_common_messages_that_blame_nobody(status, document, code):
    error = error_of(document, status)
    assert (type(error), error.code) == (TransientError, code)


def test_a_wrong_secret_of_auth0_is_the_apps_fault_in_a_connection_too():
    document = {"error": "access_denied", "error_description": "Unauthorized"}
    assert error_of(document, 401, refreshing=False).code == "invalid_client"


@pytest.mark.parametrize(("status", "document"), DEAD, ids=[str(each) for each in range(len(DEAD))])
def test_common_messages_of_a_dead_grant(status, document):
    error = error_of(document, status)
    assert (type(error), error.code) == (UserError, "invalid_grant")


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (500, {"message": "Invalid refresh token"}),
        (429, {"message": "Invalid refresh token"}),
        (408, {"message": "Invalid refresh token"}),
        (503, {"error": "invalid_grant"}),
        (400, {"message": "Invalid client or refresh token"}),
        (400, {"message": "The refresh token grant is disabled for this client"}),
        (400, {"message": "Bad Request"}),
        (403, {"message": "Forbidden"}),
        (400, b"<html>Invalid refresh token</html>"),
    ],
    ids=str,
)
def test_ambiguous_messages_do_not_end_the_grant(status, document):
    assert isinstance(error_of(document, status), TransientError)


def test_a_rejected_code_says_nothing_of_a_refresh_token():
    error = error_of({"message": "Invalid refresh token"}, 400, refreshing=False)
    assert isinstance(error, TransientError)


def test_a_pointer_finds_every_element():
    document = {"errors": [{"code": 1}, {"code": 2}], "a/b": {"~": 3}}
    assert list(find_values(document, "/errors/*/code")) == [1, 2]
    assert list(find_values(document, "/errors/1/code")) == [2]
    assert list(find_values(document, "/a~1b/~0")) == [3]
    assert list(find_values(document, "/errors/7/code")) == []
    assert list(find_values(None, "/errors")) == []


def test_a_long_message_is_searched_in_linear_time():
    assert not names_dead_token(400, {"message": "refresh token is " * 100_000})


@pytest.mark.parametrize(
    ("slug", "status", "document"),
    [
        ("zoom", 400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}),
        ("slack", 200, {"ok": False, "error": "bad_client_secret"}),
        ("microsoft", 401, {"error": "invalid_client", "error_codes": [7000222]}),
    ],
)
def test_a_rejected_secret_keeps_its_code(slug, status, document):
    """Test the code after which the app's second secret is tried."""
    oauth = get_registry().providers[slug].oauth
    assert error_of(document, status, oauth).code == "invalid_client"
