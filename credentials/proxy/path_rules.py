"""Method and path rules, in one language for policies and for custom services."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from credentials.proxy.target import decode_fully

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Parameters of Rails, Laravel and Symfony; of Salesforce; of Google; of others.
_METHOD_PARAMETERS: Final = frozenset(
    {"_method", "_httpmethod", "$httpmethod", "method", "x-http-method-override"}
)


def is_path_allowed(path: str, patterns: Sequence[str]) -> bool:
    """Return whether `path` matches `patterns`, both as it is written and decoded.

    `*` matches any characters, `/` included.
    """
    # A server may read the path in any of its forms, so each of them must be allowed.
    return all(_matches_any(form, patterns) for form in _get_forms(path))


def is_endpoint_blocked(method: str, path: str, blocked: Iterable[str]) -> bool:
    """Return whether `METHOD /path` is in `blocked`, in any form. `*` is any method."""
    for entry in blocked:
        blocked_method, _, pattern = entry.partition(" ")
        if blocked_method in {"*", method.upper()} and any(
            _matches_any(form, [pattern]) for form in _get_forms(path)
        ):
            return True
    return False


def overrides_method(method: str, query: str) -> bool:
    """Return whether some servers would take another method from a parameter of `query`."""
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    return any(
        name.lower() in _METHOD_PARAMETERS and value.upper() in _METHODS - {method}
        for name, value in pairs
    )


def _get_forms(path: str) -> set[str]:
    path = path or "/"
    decoded = decode_fully(path)
    return {path, decoded, re.sub(r"/{2,}", "/", decoded)}


def _matches_any(path: str, patterns: Iterable[str]) -> bool:
    return any(_compile_pattern(pattern).fullmatch(path) for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _compile_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
