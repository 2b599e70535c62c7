"""Values of files in the types that a kind's schema names, if nothing is lost by that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from common.errors import InvalidInputError
from common.strict_json import MAX_INTEGER
from credentials.imports.fields import is_read_only
from credentials.imports.files.dates import DateOrder, read_date
from credentials.imports.files.notices import FileNotices
from providers.registry import get_registry

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class NumberCell(str):
    """The text of a spreadsheet's cell that is a number. Zeros at its beginning may be lost."""

    __slots__ = ()


class ValueReader:
    """Reads values of one file: which dates it has, and what is reported about it."""

    def __init__(self, notices: FileNotices, dates: DateOrder | None) -> None:
        self._notices = notices
        self._dates = dates

    def ignore(self, names: Iterable[str]) -> None:
        """Count one more line with these read-only keys."""
        self._notices.ignored.update(names)

    def read_date(self, path: str, value: object) -> object:
        """Return a time as RFC 3339. Raises InvalidInputError if it has several meanings."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        try:
            text, notice = read_date(value, self._dates)
        except ValueError as error:
            raise InvalidInputError.for_field(path, str(error)) from None
        if notice:
            self._notices.add(f"{path}: {notice}")
        return text

    def read_value(self, path: str, schema: Mapping[str, Any], value: object) -> object:
        """Return the value of a property that is no secret, with a number as text or as a number."""
        if schema.get("format") == "date-time":
            return self.read_date(path, value)
        if schema.get("type") == "integer":
            if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
                return int(value)
            if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
                return int(value)
        elif schema.get("type") == "string" and type(value) is int and abs(value) <= MAX_INTEGER:
            return str(value)
        return str(value) if isinstance(value, NumberCell) else value

    def read_body(self, body: object) -> object:
        """Return a body of JSON with its dates and ids as an import expects them."""
        if not isinstance(body, dict):
            return body
        self.ignore(name for name in body if is_read_only(name))
        body = {name: value for name, value in body.items() if not is_read_only(name)}
        if isinstance(body.get("kind"), str) and isinstance(body.get("properties"), dict):
            kind = body.pop("kind")
            body["properties"] = {"kind": kind, **body["properties"]}
        if "obtained_at" in body:
            body["obtained_at"] = self.read_date("obtained_at", body["obtained_at"])
        if type(body.get("external_id")) is int and abs(body["external_id"]) <= MAX_INTEGER:
            body["external_id"] = str(body["external_id"])
        properties = body.get("properties")
        if isinstance(properties, dict):
            body["properties"] = self._read_properties(properties)
        return body

    def _read_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        kind = get_registry().get_kind(str(properties.get("kind", "")))
        if kind is None:
            return properties
        schemas = kind.schema["properties"]
        typed = dict(properties)
        for sent_name, value in properties.items():
            name = kind.property_aliases.get(sent_name, sent_name)
            if name in schemas and name not in kind.secret_fields:
                typed[sent_name] = self.read_value(f"properties.{sent_name}", schemas[name], value)
        return typed
