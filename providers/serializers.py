"""The representation of providers in `GET /v1/providers`."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

import orjson

from providers.kinds import Connect, Kind, OAuth, Provider


@functools.cache
def serialize_provider(provider: Provider) -> dict[str, Any]:
    """Return the provider as JSON values, which all callers share and must not change."""
    document: dict[str, Any] = {
        "slug": provider.slug,
        "name": provider.name,
        "website": provider.website,
        "base_url": provider.base_url,
        "variables": {name: asdict(item) for name, item in provider.variables.items()},
        "limits": None if provider.limits is None else [asdict(each) for each in provider.limits],
        "oauth": _serialize_oauth(provider.oauth) if provider.oauth else None,
        "oauth_sections": {
            name: _serialize_oauth(oauth) for name, oauth in provider.oauth_sections.items()
        },
        "kinds": [_serialize_kind(kind) for kind in provider.kinds.values()],
        "sources": [{"url": source.url, "read": source.read} for source in provider.sources],
    }
    # Encoded and decoded, so that no object of the registry is in it.
    plain: dict[str, Any] = orjson.loads(orjson.dumps(document))
    return plain


@functools.cache
def serialize_facts(provider: Provider) -> dict[str, Any]:
    """Return the evidence of each fact by the path of its field, as in the provider's file."""
    facts: dict[str, Any] = orjson.loads(orjson.dumps(provider.facts))
    return facts


def _serialize_oauth(oauth: OAuth) -> dict[str, Any]:
    document = asdict(oauth)
    # The rules for failed refreshes are internal.
    del document["refresh"]["responses"]
    return document


def _serialize_kind(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "title": kind.title,
        "mechanism": kind.mechanism,
        "aliases": list(kind.aliases),
        "property_aliases": dict(kind.property_aliases),
        "properties": kind.schema,
        "secret_fields": list(kind.secret_fields),
        "identity_fields": [part.field for part in kind.identity],
        "identity_with_secret": kind.identity_with_secret,
        "person_field": kind.person.field if kind.person else None,
        "needs_app": kind.needs_app,
        "refreshes": kind.refreshes,
        "rotates": kind.rotates,
        "posted_key": kind.posted_key,
        "oauth_section": kind.oauth_section,
        "connect": _serialize_connect(kind.connect) if kind.connect else None,
        "example": dict(kind.example),
    }


def _serialize_connect(connect: Connect) -> dict[str, Any]:
    document = asdict(connect)
    for source in document["properties"].values():
        if not source["is_path"]:
            del source["is_path"]
    return document
