"""The fixtures `key` and `grant` of the health tests."""

from tests.credentials.health.conftest import grant, key

__all__ = ["grant", "key"]
