"""Properties that a token response states in addition to the tokens: scopes, names, addresses.

The provider's file says where they are in the response (`connect.properties`). A connection reads
them once, and each refresh again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oauth_apps.protocol import TokenResponse
from providers.kinds import Kind, OAuth, PropertySource
from providers.properties import find_field_error

MISSING: Final = object()
SCOPE_FIELDS: Final = ("scope", "scopes")

# People set these, or they belong to the credential's identity.
_KEPT_FIELDS: Final = frozenset({"kind", "provider", "name", "owner_email", "expires_at"})
# The sign-in scopes of OpenID Connect (Core §5.4, §11): many providers leave them out of `scope`.
_SIGN_IN_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})


def find_value(document: object, source: PropertySource) -> object:
    """Return the value at a JSON pointer (RFC 6901) or of a parameter, or MISSING."""
    if source.place in {"callback", "config"}:
        return document.get(source.at, MISSING) if isinstance(document, Mapping) else MISSING
    for step in source.at.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, Mapping) and key in document:
            document = document[key]
        else:
            return MISSING
    if source.is_path and isinstance(document, str):
        return document.rstrip("/").rpartition("/")[2]
    return document


def convert_value(field: Mapping[str, Any], value: object) -> object:
    """Convert `value` to the property's type if that is certain to be right."""
    field_type = field["type"]
    # Providers write the same ids as numbers or as text, and lists as text with separators.
    if field_type == "string" and isinstance(value, list):
        return " ".join(str(item) for item in value)
    if field_type == "string" and type(value) is int:
        return str(value)
    if field_type == "integer" and isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    if field_type == "array" and isinstance(value, str):
        return split_scopes(value)
    return value


def read_changed_properties(
    kind: Kind, tokens: TokenResponse, properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the properties that a refresh response states differently from the stored ones.

    A value that the kind's schema does not allow is ignored: an address must be a host of the
    provider's, because tokens are sent there. The account's own ids do not change by a refresh;
    only its address may, after a move to another host.
    """
    fields = kind.schema["properties"]
    stated: dict[str, object] = {
        name: tokens.scope for name in SCOPE_FIELDS if tokens.scope and name in fields
    }
    for name, source in (kind.connect.properties if kind.connect else {}).items():
        if source.place == "token" and name in fields:
            stated[name] = find_value(tokens.document, source)
    fixed = {part.field for part in kind.identity if part.form != "host"}
    if kind.person and properties.get(kind.person.field):
        fixed.add(kind.person.field)
    changed = {}
    for name, value in stated.items():
        if name in fixed or name in _KEPT_FIELDS or name in kind.secret_fields:
            continue
        if value is MISSING or value is None or value == "":
            continue
        converted, stored = convert_value(fields[name], value), properties.get(name)
        # The order of scopes means nothing (RFC 6749 §3.3).
        if name in SCOPE_FIELDS and set(split_scopes(stored)) == set(split_scopes(converted)):
            continue
        if stored != converted and not find_field_error(kind, name, converted):
            changed[name] = converted
    return changed


def find_lost_scopes(before: object, after: object, oauth: OAuth | None) -> list[str]:
    """Return the scopes of `before` that are missing in `after`, if that names no other scopes.

    Scopes that providers grant without listing them are no loss. If `after` has scopes that
    `before` has not, it may write the same ones in another form.
    """
    granted, remaining = set(split_scopes(before)), set(split_scopes(after))
    if not remaining < granted:
        return []
    return sorted(granted - remaining - get_unlisted_scopes(oauth))


def get_unlisted_scopes(oauth: OAuth | None) -> set[str]:
    """Return scopes that providers such as Microsoft grant without listing them in responses."""
    required = {scope.scope for scope in oauth.required_scopes} if oauth else set()
    return required | _SIGN_IN_SCOPES


def split_scopes(value: object) -> list[str]:
    """Return the scopes of a stored property, or of a response."""
    if isinstance(value, list):
        return [str(item) for item in value]
    return value.replace(",", " ").split() if isinstance(value, str) else []
