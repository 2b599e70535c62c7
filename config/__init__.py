"""Wiring only: settings, URLs, the API's root, entry points."""
