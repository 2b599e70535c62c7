"""What `schema.json` cannot say of a provider file's rate limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers.check_messages import RULE, UNKNOWN_FIELD, FileError

_ENFORCED: Final = ("credential", "account")


def find_limit_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    for index, limit in enumerate(document["api"].get("limits") or ()):
        at = f"api.limits.{index}"
        yield from _number_faults(at, limit)
        for kind in limit.get("kinds", ()):
            if kind not in document["kinds"]:
                yield (
                    UNKNOWN_FIELD,
                    f"{at}.kinds",
                    f"names {kind}, which is not a kind of this file",
                )


def _number_faults(at: str, limit: Mapping[str, Any]) -> Iterator[FileError]:
    if "requests" in limit and "at_once" in limit:
        yield RULE, f"{at}.at_once", "stands beside requests: these are two limits"
    if not limit["enforced"] and "note" not in limit:
        yield RULE, f"{at}.note", "is needed where enforced is false, to say why"
    if limit["enforced"] and not limit.keys() & {"requests", "at_once"}:
        yield RULE, f"{at}.enforced", "needs requests and seconds, or at_once"
    if limit["enforced"] and limit["per"] not in _ENFORCED:
        yield RULE, f"{at}.per", f"must be {' or '.join(_ENFORCED)} where enforced is true"
