"""The JSON Schema (2020-12) of a kind's properties, built from the fields in its data file.

It adds what all kinds share: `kind`, the optional `name`, the default limits, and the rejection of
unknown fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.strict_json import MAX_INTEGER

LABEL_LENGTH: Final = 1024
SECRET_LENGTH: Final = 16_384
ARRAY_LENGTH: Final = 500

_NAME: Final = {"type": "string", "description": "What people call this credential."}


def build_kind_schema(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema, with every limit that `properties.validate_properties` applies."""
    secret = set(item["secret"])
    fields = {"name": _NAME, **item["properties"]}
    properties = {field: _add_limits(part, field in secret) for field, part in fields.items()}
    return {
        "type": "object",
        "title": item["title"],
        "properties": {"kind": {"enum": [name, *item.get("aliases", ())]}, **properties},
        "required": ["kind", *item["required"]],
        "additionalProperties": False,
    }


def _add_limits(part: Mapping[str, Any], secret: bool) -> dict[str, Any]:
    if part["type"] == "integer":
        return {"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER, **part}
    if part["type"] == "array":
        return {"maxItems": ARRAY_LENGTH, **part, "items": _add_limits(part["items"], secret=False)}
    if part["type"] == "string":
        longest = SECRET_LENGTH if secret else LABEL_LENGTH
        bounded = {"minLength": 1, "maxLength": longest, **part}
        return {**bounded, "writeOnly": True} if secret else bounded
    return dict(part)
