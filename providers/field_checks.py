"""Compilation of a field's JSON Schema into one function that returns why a value is not valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from common import text
from common.secret_text import find_control_error
from providers import formats

Reason = str | None
FieldCheck = Callable[[Any], Reason]


def build_field_check(part: Mapping[str, Any], *, secret: bool) -> FieldCheck:
    """Return the check of one field of a kind's schema."""
    if secret:
        return _build_secret_check(part)
    if part["type"] == "integer":
        return _build_integer_check(part)
    if part["type"] == "array":
        return _build_array_check(part)
    if part["type"] == "boolean":
        return lambda value: None if isinstance(value, bool) else "must be true or false"
    return _build_string_check(part)


def build_choice_check(names: tuple[str, ...]) -> FieldCheck:
    """Return the check of `kind`, which is the kind's own name or an alias."""
    return lambda value: None if value in names else f"must be {names[0]}"


def _build_secret_check(part: Mapping[str, Any]) -> FieldCheck:
    longest, rules = part["maxLength"], _build_string_rules(part)

    def check(value: object) -> Reason:
        if not isinstance(value, str):
            return "must be a string"
        if error := text.find_secret_error(value, max_length=longest):
            return error
        if not value.strip("*"):
            return "is the mask, not the secret"
        if error := find_control_error(value):
            return error
        return _apply(rules, value)

    return check


def _build_string_check(part: Mapping[str, Any]) -> FieldCheck:
    longest, rules = part["maxLength"], _build_string_rules(part)

    def check(value: object) -> Reason:
        if not isinstance(value, str):
            return "must be a string"
        if error := text.find_label_error(value, max_length=longest) or _apply(rules, value):
            return error
        # NFC may be longer than what was sent, and the limit holds for what is stored.
        if not value.isascii() and len(text.normalize_text(value)) > longest:
            return f"must have at most {longest} characters"
        return None

    return check


def _build_string_rules(part: Mapping[str, Any]) -> list[Callable[[str], Reason]]:
    rules: list[Callable[[str], Reason]] = []
    if (shortest := part["minLength"]) > 1:
        rules.append(
            lambda v: None if len(v) >= shortest else f"must have at least {shortest} characters"
        )
    if "enum" in part:
        allowed, names = frozenset(part["enum"]), ", ".join(part["enum"])
        rules.append(lambda v: None if v in allowed else f"must be one of {names}")
    if "pattern" in part:
        # In JSON Schema, ^ and $ are the ends of the string. In Python, $ also matches before a
        # last newline, so fullmatch replaces them.
        pattern = re.compile(part["pattern"][1:-1], re.ASCII)
        rules.append(lambda v: None if pattern.fullmatch(v) else f"must match {part['pattern']}")
    if "format" in part:
        rules.append(formats.FORMATS[part["format"]])
    if "hosts" in part:
        domains = tuple(part["hosts"])
        rules.append(lambda v: formats.find_domain_error(v, domains))
    return rules


def _build_integer_check(part: Mapping[str, Any]) -> FieldCheck:
    minimum, maximum = part["minimum"], part["maximum"]

    def check(value: object) -> Reason:
        if type(value) is not int:  # bool is a subclass of int.
            return "must be an integer"
        if minimum <= value <= maximum:
            return None
        return f"must be between {minimum} and {maximum}"

    return check


def _build_array_check(part: Mapping[str, Any]) -> FieldCheck:
    check_item, longest = _build_string_check(part["items"]), part["maxItems"]

    def check(value: object) -> Reason:
        if not isinstance(value, list):
            return "must be an array of strings"
        if len(value) > longest:
            return f"must have at most {longest} items"
        errors = ((index, check_item(item)) for index, item in enumerate(value))
        return next((f"item {index} {error}" for index, error in errors if error), None)

    return check


def _apply(rules: list[Callable[[str], Reason]], value: str) -> Reason:
    for rule in rules:
        if error := rule(value):
            return error
    return None
