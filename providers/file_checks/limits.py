"""Rules for the rate limits of a provider file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers.file_checks.findings import RULE, UNKNOWN_FIELD, FileError

_ENFORCEABLE: Final = ("credential", "account")


def find_limit_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    for index, limit in enumerate(document["api"].get("limits") or ()):
        at = f"api.limits.{index}"
        if "requests" in limit and "at_once" in limit:
            yield RULE, f"{at}.at_once", "excludes requests: these are two limits"
        if not limit["enforced"] and "note" not in limit:
            yield RULE, f"{at}.note", "is required if enforced is false, to say why"
        if limit["enforced"] and not limit.keys() & {"requests", "at_once"}:
            yield RULE, f"{at}.enforced", "requires requests and seconds, or at_once"
        if limit["enforced"] and limit["per"] not in _ENFORCEABLE:
            reason = f"must be {' or '.join(_ENFORCEABLE)} if enforced is true"
            yield RULE, f"{at}.per", reason
        for kind in limit.get("kinds", ()):
            if kind not in document["kinds"]:
                reason = f"names {kind}, which is not a kind of this file"
                yield UNKNOWN_FIELD, f"{at}.kinds", reason
