"""Parts that every package above shares: queries, locks, usage, request authentication."""
