"""The provider `custom`, which has no file: each row of `CustomProvider` has its base URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CUSTOM: Final[Mapping[str, Any]] = {
    "slug": "custom",
    "name": "Custom service",
    "website": None,
    "sources": [],
    "api": {"base_url": None, "auth": None},
    "variables": {},
    "oauth": None,
    "kinds": {
        "custom_key": {
            "title": "Key of a custom service",
            "mechanism": "key",
            "properties": {
                "provider": {
                    "type": "string",
                    "pattern": "^custom\\.[a-z0-9][a-z0-9_-]{0,62}$",
                    "description": "The registered custom service, `custom.<name>`.",
                },
                "key": {"type": "string", "description": "The key."},
            },
            "required": ["provider", "key"],
            "secret": ["key"],
            "identity": [{"field": "provider"}],
            "identity_with_secret": True,
            "rotates": False,
            "grant": None,
            "posted_key": "key",
            "probe": None,
            "example": {
                "kind": "custom_key",
                "provider": "custom.arrakis",
                "name": "Arrakis weather",
                "key": "arr_ExampleKey0000000000000000",
            },
        }
    },
}
"""The document, in the shape of a data file."""
