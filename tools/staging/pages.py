"""Every page of the admin, read from the URL configuration so that no new page is forgotten."""

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
    "logout": "takes POST only",
    "credentials_credential_act": "takes POST only",
}
"""URL names that are not pages, and why."""


def list_pages() -> list[str]:
    """Return the paths of all pages. A page about a row shows the newest row of its table.

    Raise LookupError for a page with unknown parameters, or if its table is empty.
    """
    patterns = (named for pattern in admin.site.get_urls() for named in _walk(pattern))
    paths = [path for name, keys in patterns for path in _build_paths(name, keys)]
    return list(dict.fromkeys([*paths, *_list_selections()]))


def _list_selections() -> Iterator[str]:
    """Yield pages that look different after a search or a selection."""
    row = _get_newest(Credential)
    credentials = reverse("admin:credentials_credential_changelist")
    yield f"{credentials}?q=nothing-has-this-name"
    yield f"{credentials}?health=error"
    kinds = ("stripe_key", "salesforce_oauth2", "github_app", "auth0_oauth2")
    for kind in kinds:
        yield f"{credentials}add/?account={row.account_id}&kind={kind}"


def _walk(pattern: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the parameters of each page at or below a URL pattern."""
    if hasattr(pattern, "url_patterns"):
        for inner in pattern.url_patterns:
            yield from _walk(inner)
    elif pattern.name is not None and pattern.name not in NO_PAGES:
        yield pattern.name, tuple(pattern.pattern.regex.groupindex)


def _build_paths(name: str, keys: tuple[str, ...]) -> list[str]:
    if not keys:
        return [reverse(f"admin:{name}")]
    if keys == ("app_label",):
        labels = sorted({model._meta.app_label for model in admin.site._registry})
        return [reverse(f"admin:{name}", args=[label]) for label in labels]
    if len(keys) > 1:
        raise LookupError(f"{name}: no value is known for {keys}")
    return [reverse(f"admin:{name}", args=[_get_newest(_find_model(name)).pk])]


def _find_model(name: str) -> type[Model]:
    """Return the model of a page, whose name Django builds from the app label and the model."""
    if name.startswith("credentials_import_"):
        return ImportDraft
    for model in apps.get_models():
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    raise LookupError(f"{name}: no model is known")


def _get_newest(model: type[Model]) -> Any:
    row = model._default_manager.order_by("-pk").first()
    if row is None:
        raise LookupError(
            f"There is no {model._meta.verbose_name}: tools/staging/rows.py makes none."
        )
    return row
