"""One function per field, made once from its JSON Schema: why a value does not fit, or None."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from common import text
from providers import formats

Fault = str | None
FieldCheck = Callable[[Any], Fault]


def build_field_check(part: Mapping[str, Any], *, secret: bool) -> FieldCheck:
    """The function for one field of a kind's schema."""
    if secret:
        return _secret_check(part)
    return {
        "string": _string_check,
        "integer": _integer_check,
        "boolean": _boolean_check,
        "array": _array_check,
    }[part["type"]](part)


def build_choice_check(names: tuple[str, ...]) -> FieldCheck:
    """For `kind`: its own name or an alias."""
    return lambda value: None if value in names else f"must be {names[0]}"


def _secret_check(part: Mapping[str, Any]) -> FieldCheck:
    longest, rules = part["maxLength"], _rules(part)

    def check(value: Any) -> Fault:
        if not isinstance(value, str):
            return "must be a string"
        if fault := text.find_secret_error(value, max_length=longest):
            return fault
        if not value.strip("*"):
            return "is the mask, not the secret"
        return _first(rules, value)

    return check


def _string_check(part: Mapping[str, Any]) -> FieldCheck:
    longest, rules = part["maxLength"], _rules(part)

    def check(value: Any) -> Fault:
        if not isinstance(value, str):
            return "must be a string"
        if fault := text.find_label_error(value, max_length=longest) or _first(rules, value):
            return fault
        # NFC may be longer than what was sent, and what is stored must keep to the limit.
        if not value.isascii() and len(text.normalize_text(value)) > longest:
            return f"must have at most {longest} characters"
        return None

    return check


def _rules(part: Mapping[str, Any]) -> list[Callable[[str], Fault]]:
    rules: list[Callable[[str], Fault]] = []
    if (shortest := part["minLength"]) > 1:
        rules.append(
            lambda v: None if len(v) >= shortest else f"must have at least {shortest} characters"
        )
    if "enum" in part:
        allowed, listed = frozenset(part["enum"]), ", ".join(part["enum"])
        rules.append(lambda v: None if v in allowed else f"must be one of {listed}")
    if "pattern" in part:
        # JSON Schema's ^ and $ are the string's ends; Python's $ also stands before a last newline.
        pattern = re.compile(part["pattern"][1:-1], re.ASCII)
        rules.append(lambda v: None if pattern.fullmatch(v) else f"must match {part['pattern']}")
    if "format" in part:
        rules.append(formats.FORMATS[part["format"]])
    if "hosts" in part:
        domains = tuple(part["hosts"])
        rules.append(lambda v: formats.find_domain_error(v, domains))
    return rules


def _integer_check(part: Mapping[str, Any]) -> FieldCheck:
    least, most = part["minimum"], part["maximum"]

    def check(value: Any) -> Fault:
        if type(value) is not int:
            return "must be an integer"
        return None if least <= value <= most else f"must lie between {least} and {most}"

    return check


def _boolean_check(part: Mapping[str, Any]) -> FieldCheck:
    return lambda value: None if isinstance(value, bool) else "must be true or false"


def _array_check(part: Mapping[str, Any]) -> FieldCheck:
    each, most = _string_check(part["items"]), part["maxItems"]

    def check(value: Any) -> Fault:
        if not isinstance(value, list):
            return "must be an array of strings"
        if len(value) > most:
            return f"must have at most {most} items"
        faults = (f"item {at} {fault}" for at, item in enumerate(value) if (fault := each(item)))
        return next(faults, None)

    return check


def _first(rules: list[Callable[[str], Fault]], value: str) -> Fault:
    for rule in rules:
        if fault := rule(value):
            return fault
    return None
