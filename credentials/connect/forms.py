"""The form of a key or a password, built from its kind's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from common.errors import ServiceError
from providers.kinds import Kind


class PropertiesForm(forms.Form):
    """One field for each property that a person can enter, except those in `preset`.

    The fields only parse the input; `providers.properties.validate_properties` validates it.
    """

    def __init__(
        self, kind: Kind, data: Mapping[str, Any] | None, *, preset: Mapping[str, Any]
    ) -> None:
        super().__init__(data)
        required, schemas = kind.schema["required"], kind.schema["properties"]
        for name in sorted(schemas, key=lambda name: name not in required):
            schema = schemas[name]
            # A person knows neither when a token expires nor a token that is refreshed.
            if name in {"kind", "name", *preset} or schema.get("format") == "date-time":
                continue
            if kind.refreshes and name == "access_token":
                continue
            self.fields[name] = build_field(
                name, schema, is_secret=name in kind.secret_fields, required=name in required
            )

    def get_properties(self) -> dict[str, Any]:
        """Return the input without empty fields."""
        return {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "", [])
        }

    def add_validation_errors(self, error: ServiceError) -> None:
        """Add each reason to its field, or to the form if there is no such field."""
        for path, reasons in error.fields.items():
            name = path.removeprefix("properties.").partition(".")[0]
            for reason in reasons:
                self.add_error(name if name in self.fields else None, reason)
        if not error.fields:
            self.add_error(None, error.detail)


class WordsField(forms.Field):
    """A list of words, separated by spaces or commas."""

    def to_python(self, value: object) -> list[str]:
        return str(value or "").replace(",", " ").split()


def build_field(
    name: str, schema: Mapping[str, Any], *, is_secret: bool, required: bool
) -> forms.Field:
    """Return the form field for a property's schema."""
    options = {
        "label": name.replace("_", " ").capitalize(),
        "help_text": schema.get("description", ""),
        "required": required,
    }
    if "enum" in schema:
        choices = [("", ""), *((value, value) for value in schema["enum"])]
        return forms.ChoiceField(choices=choices, **options)
    if schema["type"] == "boolean":
        return forms.BooleanField(**{**options, "required": False})
    if schema["type"] == "integer":
        return forms.IntegerField(**options)
    if schema["type"] == "array":
        return WordsField(**options)
    attrs = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
    widget: forms.Widget = forms.TextInput(attrs=attrs)
    if is_secret:
        attrs["autocomplete"] = "new-password"
        # A secret never comes back into a page, not even next to its error.
        widget = forms.PasswordInput(render_value=False, attrs=attrs)
    return forms.CharField(
        strip=not is_secret, max_length=schema["maxLength"], widget=widget, **options
    )
