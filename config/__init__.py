"""Wiring only: settings, URLs, the root of the API, entry points, the worker, the dashboard."""
