"""Copies of a provider's document with one change."""

from __future__ import annotations

import copy
from typing import Any


def replace_at(document: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A copy that has `to` at `path`, whose last step alone may be new."""
    found = copy.deepcopy(document)
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return found
