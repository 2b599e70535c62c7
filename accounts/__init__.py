"""Who calls: accounts (tenants), API tokens, staff sessions, scopes."""
