"""Credentials as staff see them: no page but the reveal opens a seal or reads a sealed column."""

from credentials.admin.credential import CredentialAdmin
from credentials.admin.oauth_app import ConnectedOAuthAppAdmin

__all__ = ["ConnectedOAuthAppAdmin", "CredentialAdmin"]
