"""The OAuth 2.0 client: what is asked of a provider's authorization server, and what its answers mean.

No tables and no flow: callers bring a `Client`, tokens and codes, and keep what comes back. All calls
go out by `egress.client`, so that none may be made within a database transaction; each ends within
12 s, a second try with the older client secret included, and nothing else is tried twice.

Every function raises `ProtocolError` alone: `UserError` (the user must connect again), `AppError` (the
OAuth app is wrong), `TransientError` (try again; nobody is to blame), or the class itself where the
provider's file has no such call. No text of a provider is ever in one.
"""

from oauth_apps.protocol.authorize import authorization_url, new_verifier
from oauth_apps.protocol.errors import (
    AppError,
    ProtocolError,
    TransientError,
    UserError,
    authorization_error,
)
from oauth_apps.protocol.grants import grant
from oauth_apps.protocol.id_tokens import id_token_claims
from oauth_apps.protocol.introspection import introspect
from oauth_apps.protocol.revocation import revoke
from oauth_apps.protocol.tokens import client_credentials, exchange_code, jwt_bearer, refresh
from oauth_apps.protocol.types import Client, Tokens

__all__ = [
    "AppError",
    "Client",
    "ProtocolError",
    "Tokens",
    "TransientError",
    "UserError",
    "authorization_error",
    "authorization_url",
    "client_credentials",
    "exchange_code",
    "grant",
    "id_token_claims",
    "introspect",
    "jwt_bearer",
    "new_verifier",
    "refresh",
    "revoke",
]
