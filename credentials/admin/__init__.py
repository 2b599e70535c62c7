"""Pages for staff. None but the reveal decrypts a secret or reads a sealed column."""

from credentials.admin.credential import CredentialAdmin
from credentials.admin.oauth_app import ConnectedOAuthAppAdmin

__all__ = ["ConnectedOAuthAppAdmin", "CredentialAdmin"]
