"""Every page of the admin, as its URL configuration has them, so that a new one cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

from credentials.imports.models import ImportDraft
from credentials.models import Credential

NO_PAGES: Final = {
    "autocomplete": "JSON",
    "credentials_import_refused": "a file",
    "jsi18n": "a script",
    "logout": "takes POST alone",
    "credentials_credential_act": "takes POST alone",
}
"""The names of what a browser is not led to, and why."""


def pages() -> list[str]:
    """The paths of all pages; those about a row, about the newest of its table.

    Raises LookupError for a page of which it does not know what to fill in, or has no row.
    """
    found = [path for name, keys in _named() for path in _filled(name, keys)]
    return list(dict.fromkeys([*found, *_in_other_states()]))


def _in_other_states() -> Iterator[str]:
    """The same pages after something was chosen."""
    row = _newest(Credential)
    credentials = reverse("admin:credentials_credential_changelist")
    yield f"{credentials}?q=nothing-has-this-name"
    yield f"{credentials}?health=error"
    kinds = ("stripe_key", "salesforce_oauth2", "github_app", "auth0_oauth2")
    for kind in kinds:
        yield f"{credentials}add/?account={row.account_id}&kind={kind}"


def _named() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of pages with the parts of their paths that are to be filled in."""
    for pattern in admin.site.get_urls():
        yield from _below(pattern)


def _below(pattern: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    if hasattr(pattern, "url_patterns"):
        for inner in pattern.url_patterns:
            yield from _below(inner)
    elif pattern.name is not None and pattern.name not in NO_PAGES:
        yield pattern.name, tuple(pattern.pattern.regex.groupindex)


def _filled(name: str, keys: tuple[str, ...]) -> list[str]:
    if not keys:
        return [reverse(f"admin:{name}")]
    if keys == ("app_label",):
        labels = sorted({model._meta.app_label for model in admin.site._registry})
        return [reverse(f"admin:{name}", args=[label]) for label in labels]
    if len(keys) > 1:
        raise LookupError(f"{name}: what is to be filled in for {keys}?")
    return [reverse(f"admin:{name}", args=[_newest(_model(name)).pk])]


def _model(name: str) -> type[Model]:
    """Django names a page of an object after the application and the model."""
    if name.startswith("credentials_import_"):
        return ImportDraft
    for model in apps.get_models():
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    raise LookupError(f"{name}: of which table is the row to be?")


def _newest(model: type[Model]) -> Any:
    row = model._default_manager.order_by("-pk").first()
    if row is None:
        raise LookupError(
            f"There is no {model._meta.verbose_name}: tools/staging/rows.py makes none."
        )
    return row
