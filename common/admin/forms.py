"""Forms of the admin: they check what was typed, and a service decides and writes."""

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
    """A form whose values go to a service. `refusal` is what the service said of the same values.

    Nothing is assigned to the instance and no query asks whether it is unique: the service does.
    """

    refusal: ServiceError | None = None

    def clean(self) -> dict[str, Any]:
        if self.refusal is not None:
            self._refuse(self.refusal)
        return self.cleaned_data

    def _post_clean(self) -> None:
        """Django would write the values onto the instance here."""

    def _refuse(self, problem: ServiceError) -> None:
        if not problem.fields:
            self.add_error(None, problem.detail)
        for path, reasons in problem.fields.items():
            head, _, rest = path.partition(".")
            field = next((n for n in (head, head.removesuffix("_id")) if n in self.fields), None)
            where = rest if field else path
            self.add_error(field, [f"{where}: {r}" if where else capfirst(r) for r in reasons])


class StrictJSONField(forms.CharField):
    """A box of JSON, read by the one strict gate and written out for people. Empty is None."""

    def __init__(self, *, rows: int = 8, **kwargs: Any) -> None:
        attrs = {"rows": rows, "cols": 80, "class": "lk-json", "spellcheck": "false"}
        super().__init__(**{"widget": forms.Textarea(attrs=attrs), **kwargs})

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return strict_json.loads(value)
        except BadRequestError as problem:
            raise ValidationError(problem.detail) from None

    def validate(self, value: Any) -> None:
        if value is None and self.required:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Django's are for text; what JSON may hold is the service's to say."""


class LinesField(forms.CharField):
    """A list of strings, one on each line."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 4, "cols": 80, "spellcheck": "false"}
        super().__init__(widget=forms.Textarea(attrs=attrs), required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def run_validators(self, value: Any) -> None:
        """Django's are for one string; the service checks each."""


class CodeInput(forms.TextInput):
    """A box for a one-time or recovery code: read while it is typed, and never shown again."""

    def __init__(self, **attrs: str) -> None:
        super().__init__(attrs={"autocomplete": "one-time-code", "spellcheck": "false", **attrs})

    def format_value(self, value: Any) -> None:
        return None


def secret_input() -> forms.PasswordInput:
    """A secret in one line; `new-password` keeps browsers from filling in a login."""
    attrs = {"autocomplete": "new-password", "class": "vTextField"}
    return forms.PasswordInput(render_value=False, attrs=attrs)
