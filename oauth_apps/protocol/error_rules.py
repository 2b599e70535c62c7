"""Decide what a failed refresh means: a dead grant, an app error, or a temporary failure.

A provider's file lists the responses that its vendor documents (`oauth.refresh.responses`); these
decide first. Then come the status, the error code of RFC 6749 section 5.2 wherever the body has
it, and the words of the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from egress import Response
from oauth_apps.protocol.errors import AppError, OAuth2Error, build_error, map_error_code
from providers.kinds import ResponseRule

MEANINGS: Final[Mapping[str, str]] = {
    "dead_grant": "invalid_grant",
    "app": "app_rejected",
    "temporary": "temporarily_unavailable",
    "rate_limited": "rate_limited",
}
"""The error code that each `meaning` of a provider's file stands for."""

# Where providers put their code, if not in `error`. The first name in lower case matches any case.
_CODE_POINTERS: Final = (
    "/error",
    "/error/code",
    "/error/type",
    "/error_code",
    "/errorcode",
    "/code",
    "/status",
    "/errors/*/code",
    "/errors/*/error",
    "/fault/faultcode",
)
_MESSAGE_POINTERS: Final = (
    "/error_description",
    "/error_message",
    "/message",
    "/reason",
    "/detail",
    "/error/message",
    "/errors/*/message",
    "/errors/*/detail",
    "/errors/*",
    "/errors",
    "/error_code",
    "/code",
    "/msg",
    "/errmsg",
    "/description",
    "/errorsummary",
    "/title",
)
# Only these statuses are about the request; 408, 429 and 5xx never are about a grant.
_REJECTIONS: Final = frozenset({400, 401, 403, 404, 410, 422})
_SUBJECT: Final = r"refresh[ _-]?token"
_DEAD: Final = (
    r"(?:invalid|expired|revoked|unknown|not[ _](?:found|valid|recognized)|does not exist"
    r"|already[ _](?:been )?used|no longer valid|inactive|malformed)"
)
_DEAD_TOKEN: Final = re.compile(
    rf"{_SUBJECT}[\W_]{{0,4}}(?:(?:is|was|has|have|been|not|either|or)\W+){{0,4}}{_DEAD}"
    rf"|{_DEAD}(?:\W+(?:or|and)\W+{_DEAD}){{0,3}}\W{{0,3}}{_SUBJECT}",
    re.IGNORECASE | re.ASCII,
)
_CLIENT: Final = r"client[ _-]?(?:secret|id|credentials?|authentication)"
_REJECTED_APP: Final = re.compile(
    rf"{_CLIENT}\W{{0,4}}(?:(?:is|was|has|have|been|not)\W+){{0,3}}(?:{_DEAD}|incorrect|wrong|failed)"
    rf"|(?:{_DEAD}|incorrect|wrong|error validating)(?:\W+(?:or|and)\W+{_DEAD}){{0,3}}\W{{0,3}}{_CLIENT}",
    re.IGNORECASE | re.ASCII,
)
_NAMES_GRANT: Final = re.compile(r"refresh|grant|code|user", re.IGNORECASE | re.ASCII)
# "Invalid client or refresh token" does not say which of the two.
_NAMES_CLIENT: Final = re.compile(r"client|redirect|scope", re.IGNORECASE | re.ASCII)
_MAX_MESSAGE: Final = 500


def find_rule_error(
    response: Response,
    document: Mapping[str, Any] | None,
    rules: Iterable[ResponseRule],
    *,
    retry_after: float | None = None,
) -> OAuth2Error | None:
    """Return the error that the provider's own rules give this response, or None.

    `document` is the decoded body, None if it is no object. `retry_after` is in seconds.
    """
    for rule in rules:
        if _matches(rule, response, document):
            error = build_error(MEANINGS[rule.meaning], retry_after=retry_after)
            named = find_error_code(document or {})
            # The body's own code says more exactly what is wrong: `invalid_client` is the secret.
            if named and isinstance(build_error(named), AppError) and isinstance(error, AppError):
                return build_error(named, retry_after=retry_after)
            return error
    return None


def find_error_code(document: Mapping[str, Any]) -> str | None:
    """Return the known error code that a body names, wherever it stands; None if it names none."""
    document = _fold_names(document)
    values = (value for pointer in _CODE_POINTERS for value in find_values(document, pointer))
    return next(filter(None, map(map_error_code, values)), None)


def names_dead_token(status: int, document: Mapping[str, Any]) -> bool:
    """Return True if a rejection's message says in words that the refresh token is dead."""
    return status in _REJECTIONS and any(
        _DEAD_TOKEN.search(message) and not _NAMES_CLIENT.search(message)
        for message in _find_messages(document)
    )


def names_rejected_app(status: int, document: Mapping[str, Any]) -> bool:
    """Return True if a rejection's message says in words that the app's id or secret is wrong."""
    return status in _REJECTIONS and any(
        _REJECTED_APP.search(message) and not _NAMES_GRANT.search(message)
        for message in _find_messages(document)
    )


def _find_messages(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the beginnings of the texts that a body may have for people."""
    document = _fold_names(document)
    for pointer in (*_MESSAGE_POINTERS, "/error"):
        for value in find_values(document, pointer):
            if isinstance(value, str):
                yield value[:_MAX_MESSAGE]


def _fold_names(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document with its own names in lower case: some providers write `Message`."""
    return {name.lower(): value for name, value in document.items()}


def find_values(document: object, pointer: str) -> Iterator[Any]:
    """Yield the values at a JSON pointer (RFC 6901) in which `*` stands for every array element."""
    nodes = [document]
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        nodes = [child for node in nodes for child in _children(node, name)]
    yield from nodes


def _children(node: object, name: str) -> Iterable[Any]:
    if isinstance(node, Mapping):
        return (node[name],) if name in node else ()
    if isinstance(node, list):
        if name == "*":
            return node
        if name.isdecimal() and int(name) < len(node):
            return (node[int(name)],)
    return ()


def _matches(rule: ResponseRule, response: Response, document: Mapping[str, Any] | None) -> bool:
    if rule.status and response.status not in rule.status:
        return False
    if rule.header:
        return _is_one_of(response.get_header(rule.header), rule)
    if rule.at is None:
        return True
    return document is not None and any(
        _is_one_of(value, rule) for value in find_values(document, rule.at)
    )


def _is_one_of(value: object, rule: ResponseRule) -> bool:
    if value is None or isinstance(value, bool | float | dict | list):
        return False
    content = str(value).strip().casefold()
    wanted = (str(each).casefold() for each in rule.values)
    if rule.match == "starts_with":
        return any(content.startswith(each) for each in wanted)
    return content in wanted
