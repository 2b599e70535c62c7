"""The OAuth 2.0 client: requests to authorization servers, and the meaning of their responses.

It has no tables and no flow: callers pass an `OAuthClient`, tokens and codes, and store the results.
All requests go through `egress`, so none may be made in a database transaction. Each call ends within
12 s, including the second attempt with the older client secret; nothing else is retried.

Every function raises `OAuth2Error` only: `UserError` (the user must connect again), `AppError` (the
OAuth app is wrong), `TransientError` (try again), or the class itself if the provider's file has no
such call. Its text never quotes the provider.
"""

from oauth_apps.protocol.authorize import build_authorization_url, generate_code_verifier
from oauth_apps.protocol.callback import verify_callback
from oauth_apps.protocol.errors import (
    AppError,
    OAuth2Error,
    TransientError,
    UserError,
    build_authorization_error,
)
from oauth_apps.protocol.id_tokens import validate_id_token
from oauth_apps.protocol.introspection import introspect_token
from oauth_apps.protocol.revocation import revoke_token
from oauth_apps.protocol.tokens import (
    exchange_code,
    refresh_tokens,
    request_access_token,
    request_client_credentials_token,
    request_jwt_bearer_token,
)
from oauth_apps.protocol.types import OAuthClient, TokenResponse

__all__ = [
    "AppError",
    "OAuth2Error",
    "OAuthClient",
    "TokenResponse",
    "TransientError",
    "UserError",
    "build_authorization_error",
    "build_authorization_url",
    "exchange_code",
    "generate_code_verifier",
    "introspect_token",
    "refresh_tokens",
    "request_access_token",
    "request_client_credentials_token",
    "request_jwt_bearer_token",
    "revoke_token",
    "validate_id_token",
    "verify_callback",
]
