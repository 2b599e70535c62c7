"""Base forms of the admin. They check the input's shape; a service validates and writes."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.text import capfirst

from common import strict_json
from common.errors import BadRequestError, ServiceError

M = TypeVar("M", bound=models.Model)


class ServiceForm(forms.ModelForm[M]):
    """A form whose values are passed to a service.

    `service_error` is what the service raised for the same values, to be displayed at the fields.
    """

    service_error: ServiceError | None = None

    def clean(self) -> dict[str, Any]:
        if self.service_error is not None:
            self._add_service_error(self.service_error)
        return self.cleaned_data

    def _post_clean(self) -> None:
        """Do nothing. Django would assign the values and query whether they are unique."""

    def _add_service_error(self, error: ServiceError) -> None:
        if not error.fields:
            self.add_error(None, error.detail)
        for path, reasons in error.fields.items():
            head, _, rest = path.partition(".")
            # A form has `oauth_app` for the service's `oauth_app_id`.
            names = (head, head.removesuffix("_id"))
            field = next((name for name in names if name in self.fields), None)
            prefix = rest if field else path
            self.add_error(field, [f"{prefix}: {r}" if prefix else capfirst(r) for r in reasons])


class StrictJSONField(forms.CharField):
    """A text area of JSON, parsed strictly and displayed indented. Empty is None."""

    def __init__(self, *, rows: int = 8, **kwargs: Any) -> None:
        attrs = {"rows": rows, "cols": 80, "class": "lk-json", "spellcheck": "false"}
        super().__init__(**{"widget": forms.Textarea(attrs=attrs), **kwargs})

    def prepare_value(self, value: object) -> object:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: object) -> Any:
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return strict_json.loads(value)
        except BadRequestError as error:
            raise ValidationError(error.detail) from None

    def validate(self, value: object) -> None:
        if value is None and self.required:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: object) -> None:
        """Do nothing. Django's validators are for text; the service validates the JSON."""


class LinesField(forms.CharField):
    """A list of strings, one on each line."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 4, "cols": 80, "spellcheck": "false"}
        super().__init__(widget=forms.Textarea(attrs=attrs), required=False, **kwargs)

    def prepare_value(self, value: object) -> object:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def run_validators(self, value: object) -> None:
        """Do nothing. Django's validators are for one string; the service validates each line."""


class CodeInput(forms.TextInput):
    """An input for a one-time or recovery code. A code that was entered is not displayed again."""

    def __init__(self, **attrs: str) -> None:
        super().__init__(attrs={"autocomplete": "one-time-code", "spellcheck": "false", **attrs})

    def format_value(self, value: object) -> None:
        return None


def build_code_field() -> forms.CharField:
    """Return the field for the one-time code of the user who is logged in, or logs in."""
    return forms.CharField(
        required=False,
        max_length=32,
        label="One-time code",
        widget=CodeInput(inputmode="numeric"),
        help_text="If you have set up a device.",
    )


def secret_input() -> forms.PasswordInput:
    """Return the widget for a secret of one line."""
    # `new-password` keeps browsers from filling in the user's own password.
    attrs = {"autocomplete": "new-password", "class": "vTextField"}
    return forms.PasswordInput(render_value=False, attrs=attrs)
