"""Forms to add and change a credential, with one field for each property of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from django import forms
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.utils.text import capfirst

from accounts.models import Account
from common.admin.forms import LinesField, ServiceForm, StrictJSONField, secret_input
from common.errors import ServiceError
from common.http import AdminRequest
from credentials.models import Credential
from credentials.services.properties import find_identity_properties
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import get_registry

PROPERTY_PREFIX: Final = "p-"
"""The names of property fields begin with this, so that none collides with another field."""

_ACRONYMS: Final = frozenset({"id", "url", "api", "sid", "uuid", "uri"})


class KindChoiceForm(forms.Form):
    """The first step of adding a credential: its account and its kind."""

    account = forms.ModelChoiceField(Account.objects.all())
    kind = forms.ChoiceField(help_text="What you have: a key, a password, an OAuth grant.")

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data)
        providers = sorted(get_registry().providers.values(), key=lambda each: each.name.lower())
        groups = [
            (p.name, [(kind.name, f"{p.name}: {kind.title}") for kind in p.kinds.values()])
            for p in providers
        ]
        choice = cast(forms.ChoiceField, self.fields["kind"])
        choice.choices = [("", "---------"), *groups]


class KindPropertiesForm(ServiceForm[Credential]):
    """A form with a field for each property of a kind."""

    def add_property_fields(self, kind: Kind, *, required: bool) -> None:
        """Add the fields, the required ones first. With `required`, those must be filled in."""
        needed, schemas = kind.schema["required"], kind.schema["properties"]
        for name in sorted(schemas, key=lambda name: name not in needed):
            # The kind is chosen before; the name has a field of the model.
            if name in {"kind", "name"}:
                continue
            secret = name in kind.secret_fields
            field = build_property_field(name, schemas[name], secret=secret)
            field.required = required and name in needed
            self.fields[PROPERTY_PREFIX + name] = field

    def property_field_names(self) -> list[str]:
        return [name for name in self.fields if name.startswith(PROPERTY_PREFIX)]

    def submitted_properties(self) -> dict[str, Any]:
        """Return the properties that were submitted, with None for an empty field."""
        values = self.cleaned_data
        return {
            name.removeprefix(PROPERTY_PREFIX): None if values[name] in ("", []) else values[name]
            for name in self.property_field_names()
            if name in values
        }

    def _add_service_error(self, error: ServiceError) -> None:
        """Display errors of `properties.<name>` at the field of that property."""
        others = {}
        for path, reasons in error.fields.items():
            name = PROPERTY_PREFIX + path.removeprefix("properties.").partition(".")[0]
            if path.startswith("properties.") and name in self.fields:
                self.add_error(name, [capfirst(reason) for reason in reasons])
            else:
                others[path] = reasons
        if others or not error.fields:
            super()._add_service_error(ServiceError(error.detail, fields=others))


class CredentialForm(KindPropertiesForm):
    """The form to change a credential. An empty secret keeps the stored one."""

    kind: Kind | None

    metadata = StrictJSONField(help_text="{} for none.")

    class Meta:
        model = Credential
        fields = ("name", "owner_email", "revision")
        widgets = {"revision": forms.HiddenInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = get_registry().get_kind(self.instance.kind)
        if self.kind is None:
            return
        self.add_property_fields(self.kind, required=False)
        fixed = find_identity_properties(self.kind, self.instance)
        for name in self.property_field_names():
            property_name, field = name.removeprefix(PROPERTY_PREFIX), self.fields[name]
            # The stored value is a mask, which would be submitted as a new secret.
            if property_name in self.kind.secret_fields:
                is_stored = property_name in self.instance.properties
                hint = "Leave blank to keep it." if is_stored else "None is stored."
                field.help_text = f"{hint} {field.help_text}".strip()
                continue
            self.initial[name] = self.instance.properties.get(property_name)
            if property_name in fixed:
                field.disabled = True
                field.help_text = "Identifies the upstream account, so it cannot be changed."

    def new_secrets(self) -> dict[str, Any]:
        """Return the secrets that were filled in."""
        names = self.kind.secret_fields if self.kind else ()
        return {
            name: value
            for name, value in self.submitted_properties().items()
            if name in names and value is not None
        }

    def changed_properties(self) -> dict[str, Any]:
        """Return the properties that are not secret and differ from the stored ones."""
        secret_names = self.kind.secret_fields if self.kind else ()
        return {
            name: value
            for name, value in self.submitted_properties().items()
            if name not in secret_names
            # A field that the page did not have, or a disabled one, is not in the submitted data.
            and PROPERTY_PREFIX + name in self.data
            and value != self.instance.properties.get(name)
        }


class AddRequest(AdminRequest):
    """A request of the second step of adding a credential.

    `account` and `kind` come from the first step; `import_result` goes to the response.
    """

    account: Account
    kind: Kind
    import_result: str


class CredentialAddForm(KindPropertiesForm):
    """The form of one import body.

    An empty field is left out of the body, so that importing over a credential keeps its value.
    """

    metadata = StrictJSONField(required=False, rows=5)

    class Meta:
        model = Credential
        fields = ("oauth_app", "name", "owner_email", "external_id")
        labels = {"oauth_app": "OAuth app"}

    account: Account
    kind: Kind

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_property_fields(self.kind, required=True)
        self.fields[
            "external_id"
        ].help_text = "Identifies the upstream account, for kinds whose properties do not."
        if "oauth_app" not in self.fields:
            return
        app = cast("forms.ModelChoiceField[OAuthApp]", self.fields["oauth_app"])
        app.required = self.kind.needs_app
        app.queryset = OAuthApp.objects.filter(account=self.account, provider=self.kind.provider)
        # These buttons would open another page over a half-filled form.
        widget = cast(RelatedFieldWidgetWrapper, app.widget)
        widget.can_add_related = widget.can_change_related = False
        widget.can_delete_related = widget.can_view_related = False
        if not self.kind.needs_app and not app.queryset.exists():
            del self.fields["oauth_app"]

    def import_body(self) -> dict[str, Any]:
        """Return the submitted values as the body of an import."""
        body = {
            name: self.cleaned_data[name]
            for name in ("name", "owner_email", "external_id", "metadata")
            if self.cleaned_data.get(name) not in ("", None)
        }
        if app := self.cleaned_data.get("oauth_app"):
            body["oauth_app_id"] = str(app.pk)
        properties = {
            name: value for name, value in self.submitted_properties().items() if value is not None
        }
        return {**body, "properties": {"kind": self.kind.name, **properties}}


def build_property_field(name: str, schema: Mapping[str, Any], *, secret: bool) -> forms.Field:
    """Return a form field for a property. The service validates its value, not the field."""
    words = [word.upper() if word in _ACRONYMS else word for word in name.split("_")]
    options: dict[str, Any] = {
        "label": capfirst(" ".join(words)),
        "help_text": schema.get("description", ""),
    }
    if "enum" in schema:
        choices = [("", "---------"), *((value, value) for value in schema["enum"])]
        return forms.ChoiceField(choices=choices, **options)
    if schema["type"] == "boolean":
        return forms.NullBooleanField(**options)
    if schema["type"] == "integer":
        return forms.IntegerField(**options)
    if schema["type"] == "array":
        options["help_text"] = f"One on each line. {options['help_text']}".strip()
        return LinesField(**options)
    if secret:
        return forms.CharField(strip=False, widget=secret_input(), **options)
    if schema.get("format") == "date-time":
        options["help_text"] = f"Like 2026-11-21T09:30:00Z. {options['help_text']}".strip()
    return forms.CharField(widget=forms.TextInput(attrs={"class": "vTextField"}), **options)
