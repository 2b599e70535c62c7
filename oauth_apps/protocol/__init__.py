"""The OAuth 2.0 client: what is asked of a provider's authorization server, and what its answers mean.

No tables and no flow: callers bring a `Client`, tokens and codes, and keep what comes back. All calls
go out by `egress.client`, so that none may be made within a database transaction; each ends within
12 s, a second try with the older client secret included, and nothing else is tried twice.

Every function raises `ProtocolError` alone: `UserError` (the user must connect again), `AppError` (the
OAuth app is wrong), `TransientError` (try again; nobody is to blame), or the class itself where the
provider's file has no such call. No text of a provider is ever in one.
"""

from oauth_apps.protocol.authorize import build_authorization_url, generate_code_verifier
from oauth_apps.protocol.errors import (
    AppError,
    OAuth2Error,
    TransientError,
    UserError,
    build_authorization_error,
)
from oauth_apps.protocol.grants import request_access_token
from oauth_apps.protocol.id_tokens import validate_id_token
from oauth_apps.protocol.introspection import introspect_token
from oauth_apps.protocol.revocation import revoke_token
from oauth_apps.protocol.tokens import (
    exchange_code,
    refresh_tokens,
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
]
