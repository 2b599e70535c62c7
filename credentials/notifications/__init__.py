"""E-mail to owners of credentials."""
