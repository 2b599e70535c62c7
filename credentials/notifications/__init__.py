"""E-mail to the owners of credentials."""
