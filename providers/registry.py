"""The registry of providers and kinds, read once per process from the files in `data/`.

Reading builds plain objects and validates nothing: the system check (`file_checks`) does, at the
start.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from providers.custom_provider_kind import CUSTOM
from providers.kind_schema import build_kind_schema
from providers.kinds import (
    Auth,
    AuthorizeOption,
    Connect,
    IdentityCall,
    IdentityPart,
    Kind,
    Limit,
    OAuth,
    Person,
    Probe,
    PropertySource,
    Provider,
    Refresh,
    RequiredScope,
    ResponseRule,
    RevocationCall,
    Source,
    Variable,
)

DATA_DIR: Final = Path(__file__).parent / "data"

# The errors that `build_provider` raises for a file that does not match `schema.json`.
_MALFORMED_FILE_ERRORS: Final = (KeyError, TypeError, AttributeError, ValueError)


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """All providers by slug, all kinds by name and by alias."""

    providers: Mapping[str, Provider]
    kinds: Mapping[str, Kind]

    def get_kind(self, name_or_alias: str) -> Kind | None:
        return self.kinds.get(name_or_alias)

    def get_oauth(self, kind_name: str) -> OAuth | None:
        """Return the authorization server that issues the tokens of a kind, None if there is none."""
        kind = self.get_kind(kind_name)
        provider = self.get_provider(kind.provider) if kind else None
        return provider.get_oauth(kind) if provider and kind else None

    def get_provider(self, slug: str) -> Provider | None:
        """Return the provider of a slug; every `custom.<name>` is the provider `custom`."""
        return self.providers.get("custom" if slug.startswith("custom.") else slug)


@functools.cache
def get_registry() -> Registry:
    """Return the registry of this process: the built-in files, then those of PROVIDERS_DIR."""
    return load_registry(list_data_files())


def list_data_files() -> list[Path]:
    """Return all provider files. Raises ImproperlyConfigured if PROVIDERS_DIR is not a directory."""
    extra = getattr(settings, "PROVIDERS_DIR", "")
    if extra and not Path(extra).is_dir():
        raise ImproperlyConfigured("PROVIDERS_DIR is not a directory.")
    folders = [DATA_DIR, Path(extra)] if extra else [DATA_DIR]
    return [path for folder in folders for path in sorted(folder.glob("*.json"))]


def load_registry(files: Iterable[Path]) -> Registry:
    """Return the registry of these files and `custom`.

    Raises ImproperlyConfigured, which names the wrong file.
    """
    providers: dict[str, Provider] = {"custom": build_provider(CUSTOM)}
    kinds: dict[str, Kind] = dict(providers["custom"].kinds)
    for path in files:
        try:
            provider = build_provider(orjson.loads(path.read_bytes()))
        except (*_MALFORMED_FILE_ERRORS, OSError) as error:
            raise ImproperlyConfigured(f"{path}: {type(error).__name__}: {error}") from error
        if provider.slug in providers:
            raise ImproperlyConfigured(f"{path}: the slug {provider.slug} is in use already.")
        providers[provider.slug] = provider
        for kind in provider.kinds.values():
            for name in (kind.name, *kind.aliases):
                if kinds.setdefault(name, kind) is not kind:
                    raise ImproperlyConfigured(f"{path}: the kind {name} is in use already.")
    return Registry(providers=providers, kinds=kinds)


def build_provider(document: Mapping[str, Any]) -> Provider:
    """Return the provider that a data file describes. It never fails if the file matches the schema."""
    auth = _build_auth(document["api"]["auth"])
    slug = document["slug"]
    kinds = document["kinds"].items()
    limits = document["api"].get("limits")
    return Provider(
        slug=slug,
        name=document["name"],
        website=document["website"],
        sources=tuple(Source(**source) for source in document["sources"]),
        base_url=document["api"]["base_url"],
        auth=auth,
        variables={
            name: Variable(**{**item, "values": tuple(item.get("values", ()))})
            for name, item in document["variables"].items()
        },
        oauth=_build_oauth(document["oauth"]) if document["oauth"] else None,
        oauth_sections={
            name: _build_oauth(item) for name, item in document.get("oauth_sections", {}).items()
        },
        kinds={name: build_kind(slug, name, item, inherited=auth) for name, item in kinds},
        paths=tuple(document["api"].get("paths", ())),
        links_in_answers=document["api"].get("links_in_answers", False),
        limits=None
        if limits is None
        else tuple(
            Limit(
                **{
                    **limit,
                    "source": Source(**limit["source"]),
                    "kinds": tuple(limit.get("kinds", ())),
                }
            )
            for limit in limits
        ),
        # Not in files of the first format, which the system check rejects and this reads.
        facts=document.get("facts", {}),
    )


def build_kind(slug: str, name: str, item: Mapping[str, Any], *, inherited: Auth | None) -> Kind:
    """Return the kind that an entry of a data file's `kinds` describes."""
    probe, connect, person = item["probe"], item.get("connect"), item.get("person")
    return Kind(
        name=name,
        provider=slug,
        title=item["title"],
        mechanism=item["mechanism"],
        aliases=tuple(item.get("aliases", ())),
        property_aliases=item.get("property_aliases", {}),
        schema=build_kind_schema(name, item),
        secret_fields=tuple(item["secret"]),
        identity=tuple(IdentityPart(**part) for part in item["identity"]),
        identity_with_secret=item.get("identity_with_secret", False),
        rotates=item["rotates"],
        grant=item["grant"],
        posted_key=item.get("posted_key"),
        auth=_build_auth(item["auth"]) if "auth" in item else inherited,
        probe=Probe(**{**probe, "ok": tuple(probe["ok"]), "dead": tuple(probe["dead"])})
        if probe
        else None,
        example=item["example"],
        connect=Connect(
            properties={
                field: PropertySource(
                    place=part["in"], at=part["at"], is_path=part.get("is_path", False)
                )
                for field, part in connect["properties"].items()
            },
            call=IdentityCall(**connect["call"]) if connect["call"] else None,
        )
        if connect is not None
        else None,
        person=Person(**{**person, "source": Source(**person["source"])}) if person else None,
        oauth_section=item.get("oauth_section"),
    )


def _build_auth(item: Mapping[str, Any] | None) -> Auth | None:
    if item is None:
        return None
    return Auth(place=item["in"], values=item.get("values", {}), scheme=item.get("scheme"))


def _build_oauth(item: Mapping[str, Any]) -> OAuth:
    call = item["revocation"]
    built = {
        "default_scopes": tuple(item["default_scopes"]),
        "refresh": _build_refresh(item["refresh"]),
        "quirks": tuple(item["quirks"]),
        "required_scopes": tuple(
            RequiredScope(
                scope=each["scope"],
                purpose=each["purpose"],
                source=Source(**each["source"]),
                included_in=tuple(each.get("included_in", ())),
            )
            for each in item.get("required_scopes", ())
        ),
        "revocation": RevocationCall(**{**call, "ok": tuple(call["ok"])}) if call else None,
        "authorize_options": {
            name: AuthorizeOption(**{**option, "values": tuple(option.get("values", ()))})
            for name, option in item.get("authorize_options", {}).items()
        },
    }
    return OAuth(**{**item, **built})


def _build_refresh(item: Mapping[str, Any]) -> Refresh:
    rules = (
        ResponseRule(
            meaning=rule["meaning"],
            source=Source(**rule["source"]),
            status=tuple(rule.get("status", ())),
            at=rule.get("at"),
            header=rule.get("header"),
            values=tuple(rule.get("values", ())),
            match=rule.get("match", "equals"),
        )
        for rule in item.get("responses", ())
    )
    return Refresh(**{**item, "responses": tuple(rules)})
