"""OAuth apps: the client ids and secrets that a company registered at its providers."""
