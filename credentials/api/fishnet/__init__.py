"""Fishnet's API, the second documented one: the same credentials, as a bare list without secrets."""
