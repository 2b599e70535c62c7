"""The form of a key or a password, made from its kind's schema. What is typed is never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from common.errors import ServiceError
from providers.kinds import Kind


class PropertiesForm(forms.Form):
    """One field for each property that a person can know; those of tokens are left out, and `given`.

    The fields only carry what was typed: what is right is `providers.properties.validate_properties`'s to say.
    """

    def __init__(
        self, kind: Kind, data: Mapping[str, Any] | None, *, given: Mapping[str, Any]
    ) -> None:
        super().__init__(data)
        self.kind = kind
        required, fields = kind.schema["required"], kind.schema["properties"]
        for name in sorted(fields, key=lambda name: name not in required):
            part = fields[name]
            if name in {"kind", "name", *given} or part.get("format") == "date-time":
                continue
            if kind.refreshes and name == "access_token":
                continue
            self.fields[name] = _field(
                name, part, secret=name in kind.secret_fields, required=name in required
            )

    def get_properties(self) -> dict[str, Any]:
        """What was typed; empty fields are left out."""
        return {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "", [])
        }

    def add_validation_errors(self, problem: ServiceError) -> None:
        """Show what the service said beside the fields it is about."""
        for path, reasons in problem.fields.items():
            name = path.removeprefix("properties.").partition(".")[0]
            for reason in reasons:
                self.add_error(name if name in self.fields else None, reason)
        if not problem.fields:
            self.add_error(None, problem.detail)


def _field(name: str, part: Mapping[str, Any], *, secret: bool, required: bool) -> forms.Field:
    common = {
        "label": name.replace("_", " ").capitalize(),
        "help_text": part.get("description", ""),
        "required": required,
    }
    if "enum" in part:
        choices = [("", ""), *((value, value) for value in part["enum"])]
        return forms.ChoiceField(choices=choices, **common)
    if part["type"] == "boolean":
        return forms.BooleanField(**{**common, "required": False})
    if part["type"] == "integer":
        return forms.IntegerField(**common)
    if part["type"] == "array":
        return _Words(**common)
    return forms.CharField(
        strip=not secret, max_length=part["maxLength"], widget=_box(part, secret=secret), **common
    )


def _box(part: Mapping[str, Any], *, secret: bool) -> forms.Widget:
    """Secrets are typed unseen, and never come back into a page, not even beside an error."""
    attrs = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
    if secret:
        return forms.PasswordInput(
            render_value=False, attrs={**attrs, "autocomplete": "new-password"}
        )
    return forms.TextInput(attrs=attrs)


class _Words(forms.CharField):
    def to_python(self, value: Any) -> Any:
        return str(value or "").replace(",", " ").split()
