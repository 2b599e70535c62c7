"""URLs of a provider file: what stands in them for one customer can only be what its place allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from providers.check_messages import VARIABLE, FileError

_TEMPLATE: Final = re.compile(r"\{([^{}]*)\}")


def find_url_errors(
    at: str, url: str, document: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[FileError]:
    """Each `{name}` of the URL must be a variable, or a property of each of `kinds`, fit for its place."""
    host = url.removeprefix("https://").partition("/")[0]
    for name in sorted(find_variable_names([url])):
        place = "host" if f"{{{name}}}" in host else "path"
        variable = document["variables"].get(name)
        if variable and place == "host" and variable.get("place", "host") != "host":
            yield VARIABLE, at, f"{{{name}}} stands in the host, but is declared for paths"
        parts = {kind: item["properties"].get(name) for kind, item in kinds.items()}
        if variable is None and (not parts or None in parts.values()):
            yield VARIABLE, at, f"{{{name}}} is neither in variables nor a property of each kind"
        for kind, part in parts.items():
            if part and not _fits(part, place, whole=url == f"{{{name}}}"):
                yield VARIABLE, at, f"{{{name}}}, a property of {kind}, may be more than its place"


def _fits(part: Mapping[str, Any], place: str, *, whole: bool) -> bool:
    """Whether a property can only be a value that is safe at this place of a URL."""
    if whole:
        return part.get("format") == "uri" and "hosts" in part
    if place == "path":
        return part["type"] == "integer" or part.get("format") in {"label", "segment"}
    return part.get("format") == "label" or (part.get("format") == "host" and "hosts" in part)


def find_variable_names(templates: Iterable[str]) -> set[str]:
    """What stands in braces in any of them."""
    return {name for template in templates for name in _TEMPLATE.findall(template)}
