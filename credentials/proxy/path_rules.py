"""Method and path rules, in one language for policies and for custom services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from credentials.proxy.target import decode_fully

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Parameters of Rails, Laravel and Symfony; of Salesforce; of Google; of others. In lower case, with
# neither brackets nor the characters that some frameworks read as one.
_METHOD_PARAMETERS: Final = frozenset(
    {
        *("method", "httpmethod", "xhttpmethod", "xmethod", "verb", "httpverb", "xhttpverb"),
        *("methodoverride", "httpmethodoverride", "xhttpmethodoverride", "xmethodoverride"),
        *("requestmethod", "originalmethod", "xoriginalmethod"),
    }
)


def is_path_allowed(path: str, patterns: Sequence[str]) -> bool:
    """Return whether `path` matches `patterns`, both as it is written and decoded.

    `*` matches any characters, `/` included.
    """
    # A server may read the path in any of its forms, so each of them must be allowed.
    return all(
        any(matches_pattern(form, pattern) for pattern in patterns) for form in _get_forms(path)
    )


def is_endpoint_blocked(method: str, path: str, blocked: Iterable[str]) -> bool:
    """Return whether `METHOD /path` is in `blocked`, in any form. `*` is any method."""
    forms = _get_forms(path)
    for entry in blocked:
        blocked_method, _, pattern = entry.partition(" ")
        if blocked_method in {"*", method.upper()} and any(
            matches_pattern(form, pattern) for form in forms
        ):
            return True
    return False


def matches_pattern(text: str, pattern: str) -> bool:
    """Return whether `pattern` matches the whole of `text`. `*` matches any characters, or none.

    The work grows with the length of the text, whatever the pattern is.
    """
    # No regular expression: `.*` for each star backtracks exponentially, and the account that
    # wrote the pattern would stop this process for every other one.
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *inner, last = rest
    end = len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last)) or end < len(first):
        return False
    position = len(first)
    for part in inner:
        # The leftmost place leaves most of the text to the parts that follow.
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def overrides_method(method: str, query: str) -> bool:
    """Return whether some servers would take another method from a parameter of `query`."""
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    return any(
        re.sub(r"[-_.$]", "", name.partition("[")[0].strip().lower()) in _METHOD_PARAMETERS
        and value.strip().upper() in _METHODS - {method}
        for name, value in pairs
    )


def _get_forms(path: str) -> set[str]:
    path = path or "/"
    decoded = decode_fully(path)
    return {path, decoded, re.sub(r"/{2,}", "/", decoded)}
