"""Query parameters: an unknown one is an error, and never widens the result."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from rest_framework.request import Request

from common.errors import BadRequestError
from common.text import escape_name

PAGINATION_PARAMS: Final = frozenset({"limit", "cursor"})
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200

Choice = TypeVar("Choice", bound=str)

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


def has_filters(request: Request) -> bool:
    """Return whether the request filters a list."""
    return not request.query_params.keys() <= PAGINATION_PARAMS


def reject_unknown_params(request: Request, known: frozenset[str]) -> None:
    """Raise BadRequestError for a parameter that is not in `known`, or that has no value."""
    for name, value in request.query_params.items():
        if name not in known:
            raise BadRequestError.for_field(escape_name(name), "unknown query parameter")
        if not value:
            raise BadRequestError.for_field(name, "must not be empty")


def read_boolean(request: Request, name: str, *, default: bool) -> bool:
    """Return a parameter that is `true` or `false`. Raise BadRequestError for any other value."""
    value = request.query_params.get(name, "true" if default else "false")
    if value not in {"true", "false"}:
        raise BadRequestError.for_field(name, "must be true or false")
    return value == "true"


def read_choice(request: Request, name: str, choices: tuple[Choice, ...]) -> Choice | None:
    """Return a parameter that is one of `choices`, or None. Raise BadRequestError for another value."""
    value = request.query_params.get(name)
    for choice in choices:
        if choice == value:
            return choice
    if value is None:
        return None
    raise BadRequestError.for_field(name, f"must be one of {', '.join(choices)}")


def read_limit(request: Request, *, default: int = DEFAULT_LIMIT) -> int:
    """Return the parameter `limit`. Raise BadRequestError if it is invalid."""
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or int(text) > MAX_LIMIT:
        raise BadRequestError.for_field("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)
