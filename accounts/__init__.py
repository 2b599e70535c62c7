"""Accounts (tenants), and who may act in them: API tokens, sessions and scopes of staff."""
