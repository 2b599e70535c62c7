"""The forms of a credential: what its kind's schema names, each in a box of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from accounts.models import Account
from common.admin.forms import LinesField, ServiceForm, StrictJSONField, secret_input
from common.errors import ServiceError
from credentials.models import Credential
from providers.kinds import Kind
from providers.registry import get_registry

PROPERTY_PREFIX = "p-"
"""What the names of the boxes of properties start with."""

_FIRST = ("name", "owner_email", "external_id", "metadata")


class KindChoiceForm(forms.Form):
    """Step one of adding: whose it is, and what kind of credential."""

    account = forms.ModelChoiceField(Account.objects.all())
    kind = forms.ChoiceField(help_text="What you have in hand: a key, a password, an OAuth grant.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        providers = sorted(get_registry().providers.values(), key=lambda found: found.name.lower())
        groups = [
            (p.name, [(kind.name, f"{p.name}: {kind.title}") for kind in p.kinds.values()])
            for p in providers
        ]
        self.fields["kind"].choices = [("", "---------"), *groups]  # type: ignore[attr-defined]


class _Boxes(ServiceForm[Credential]):
    """A form with a box for each property of a kind."""

    def add_boxes(self, kind: Kind, *, required: bool) -> None:
        needed, parts = kind.schema["required"], kind.schema["properties"]
        for name in sorted(parts, key=lambda name: name not in needed):
            if name in {"kind", "name"}:
                continue
            secret = name in kind.secret_fields
            field = build_property_field(name, parts[name], secret=secret)
            field.required = required and name in needed
            self.fields[PROPERTY_PREFIX + name] = field

    def property_field_names(self) -> list[str]:
        return [name for name in self.fields if name.startswith(PROPERTY_PREFIX)]

    def submitted_properties(self) -> dict[str, Any]:
        """The properties that were typed; None for an empty box."""
        cleaned = self.cleaned_data
        return {
            name.removeprefix(PROPERTY_PREFIX): None if cleaned[name] in ("", []) else cleaned[name]
            for name in self.property_field_names()
            if name in cleaned
        }

    def _add_service_error(self, problem: ServiceError) -> None:
        """What is said of a property stands at its box."""
        others = {}
        for path, reasons in problem.fields.items():
            name = PROPERTY_PREFIX + path.removeprefix("properties.").partition(".")[0]
            if path.startswith("properties.") and name in self.fields:
                self.add_error(name, [reason[:1].upper() + reason[1:] for reason in reasons])
            else:
                others[path] = reasons
        if others or not problem.fields:
            super()._add_service_error(ServiceError(problem.detail, fields=others))


class CredentialForm(_Boxes):
    """A blank secret keeps the one that is held; any other box says what is to be."""

    kind: Kind | None

    metadata = StrictJSONField(help_text="{} for none.")

    class Meta:
        model = Credential
        fields = ("name", "owner_email", "revision")
        widgets = {"revision": forms.HiddenInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = get_registry().get_kind(self.instance.kind)
        if self.kind:
            self.add_boxes(self.kind, required=False)
        fixed = identity_property_names(self.kind, self.instance) if self.kind else set()
        for name in self.property_field_names():
            prop, field = name.removeprefix(PROPERTY_PREFIX), self.fields[name]
            if self.kind and prop in self.kind.secret_fields:
                held = "Leave blank to keep" if prop in self.instance.properties else "None is held"
                field.help_text = f"{held}. {field.help_text}".strip()
                continue
            self.initial[name] = self.instance.properties.get(prop)
            if prop in fixed:
                field.disabled = True
                field.help_text = "Says which upstream account this is, so it stays."

    def new_secrets(self) -> dict[str, Any]:
        names = self.kind.secret_fields if self.kind else ()
        return {
            n: value
            for n, value in self.submitted_properties().items()
            if n in names and value is not None
        }

    def changed_properties(self) -> dict[str, Any]:
        """The changed properties that are no secrets."""
        secret = self.kind.secret_fields if self.kind else ()
        held: Mapping[str, Any] = self.instance.properties
        return {
            name: value
            for name, value in self.submitted_properties().items()
            if name not in secret
            and PROPERTY_PREFIX + name in self.data
            and value != held.get(name)
        }


class CredentialAddForm(_Boxes):
    """One import body. What is left empty is absent, so that an import over a row keeps it."""

    metadata = StrictJSONField(required=False, rows=5)

    class Meta:
        model = Credential
        fields = ("oauth_app", "name", "owner_email", "external_id")
        labels = {"oauth_app": "OAuth app"}

    account: Account
    kind: Kind

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_boxes(self.kind, required=True)
        if "oauth_app" in self.fields:
            self._offer_apps(self.kind)
        self.fields[
            "external_id"
        ].help_text = "Which upstream account this is, for kinds whose properties do not say."

    def _offer_apps(self, kind: Kind) -> None:
        app: Any = self.fields["oauth_app"]
        app.required = kind.needs_app
        app.queryset = app.queryset.filter(account=self.account, provider=kind.provider)
        for what in ("add", "change", "delete", "view"):
            setattr(app.widget, f"can_{what}_related", False)
        if not kind.needs_app and not app.queryset.exists():
            del self.fields["oauth_app"]

    def import_body(self) -> dict[str, Any]:
        body = {
            name: self.cleaned_data[name]
            for name in _FIRST
            if self.cleaned_data.get(name) not in ("", None)
        }
        if app := self.cleaned_data.get("oauth_app"):
            body["oauth_app_id"] = str(app.pk)
        given = {
            name: value for name, value in self.submitted_properties().items() if value is not None
        }
        return {**body, "properties": {"kind": self.kind.name, **given}}


def identity_property_names(kind: Kind, row: Credential) -> set[str]:
    """What tells its upstream account: another value would be another credential."""
    return {"provider"} if row.external_id else {"provider", *(p.field for p in kind.identity)}


def build_property_field(name: str, part: Mapping[str, Any], *, secret: bool) -> forms.Field:
    """A box that carries what is typed. What is right is `providers.properties.validate_properties`'s to say."""
    common: dict[str, Any] = {"label": _label(name), "help_text": part.get("description", "")}
    if "enum" in part:
        choices = [("", "---------"), *((value, value) for value in part["enum"])]
        return forms.ChoiceField(choices=choices, **common)
    if part["type"] == "boolean":
        return forms.NullBooleanField(**common)
    if part["type"] == "integer":
        return forms.IntegerField(**common)
    if part["type"] == "array":
        common["help_text"] = f"One on each line. {common['help_text']}".strip()
        return LinesField(**common)
    if secret:
        return forms.CharField(strip=False, widget=secret_input(), **common)
    if part.get("format") == "date-time":
        common["help_text"] = f"Like 2026-11-21T09:30:00Z. {common['help_text']}".strip()
    return forms.CharField(widget=forms.TextInput(attrs={"class": "vTextField"}), **common)


def _label(name: str) -> str:
    words = name.replace("_", " ")
    for short in ("id", "url", "api", "sid", "uuid", "uri"):
        words = " ".join(word.upper() if word == short else word for word in words.split())
    return words[:1].upper() + words[1:]
