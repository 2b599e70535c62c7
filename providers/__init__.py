"""Providers and their kinds of credential, described by the files in `data/`."""
