"""Method and path rules, in one language for policies and for custom services."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from credentials.proxy.target import decode_fully

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Of Rails, Laravel and Symfony; of Salesforce; of Google; of others.
_METHOD_PARAMETERS: Final = frozenset(
    {"_method", "_httpmethod", "$httpmethod", "method", "x-http-method-override"}
)


def is_path_allowed(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is one of `patterns`, both as it is written and without its encoding.

    `*` is any run of characters, `/` included.
    """
    return all(_any(form, patterns) for form in _forms(path))


def is_endpoint_blocked(method: str, path: str, blocked: Iterable[str]) -> bool:
    """Whether `METHOD /path` is one of `blocked` however it is written; `*` is any method."""
    for entry in blocked:
        verb, _, pattern = entry.partition(" ")
        if verb in {"*", method.upper()} and any(_any(f, [pattern]) for f in _forms(path)):
            return True
    return False


def overrides_method(method: str, query: str) -> bool:
    """Whether a parameter does by which some servers take another method than the request's."""
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    return any(
        name.lower() in _METHOD_PARAMETERS and value.upper() in _METHODS - {method}
        for name, value in pairs
    )


def _forms(path: str) -> set[str]:
    path = path or "/"
    plain = decode_fully(path)
    return {path, plain, re.sub(r"/{2,}", "/", plain)}


def _any(path: str, patterns: Iterable[str]) -> bool:
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
