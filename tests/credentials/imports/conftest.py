from tests.fakes.fixtures import app, facts, grant, provider, start

__all__ = ["app", "facts", "grant", "provider", "start"]
