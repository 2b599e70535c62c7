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
    ("strava", 400, {"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]}, GRANT),
    ("strava", 400, {"message": "Bad Request", "errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}]}, APP),
    ("hubspot", 400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, GRANT),
    ("discord", 400, {"error": "invalid_grant"}, GRANT),
    ("zoom", 400, {"reason": "Invalid Token!", "error": "invalid_grant"}, GRANT),
    ("zoom", 401, {"reason": "Invalid Token!", "error": "invalid_request"}, GRANT),
    ("microsoft", 400, {"error": "invalid_grant", "error_codes": [700082], "error_description": "AADSTS700082: The refresh token has expired due to inactivity."}, GRANT),
    ("microsoft", 400, {"error": "unauthorized_client", "error_codes": [700016], "error_description": "AADSTS700016: Application not found in the directory."}, GRANT),
    ("microsoft", 401, {"error": "invalid_client", "error_codes": [7000222], "error_description": "AADSTS7000222: The provided client secret keys are expired."}, APP),
    ("microsoft", 401, {"error": "invalid_client", "error_codes": [7000215], "error_description": "AADSTS7000215: Invalid client secret is provided."}, APP),
    ("salesforce", 400, {"error": "invalid_grant", "error_description": "expired access/refresh token"}, GRANT),
    ("xero", 400, {"error": "invalid_grant"}, GRANT),
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
]  # fmt: skip


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
