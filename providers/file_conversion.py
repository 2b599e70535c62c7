"""Conversion of a provider file of the first format, which had one list of sources for all facts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

from providers.facts import list_facts, sends_token_requests
from providers.formats import get_host

FORMAT: Final = 2

Classify = Callable[[str], str]
"""Returns the sureness of what a page says, by its URL."""


def convert_document(former: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file in the present format. Nothing of the former one is lost.

    If the file had one source, all facts were read there. Which of several sources a fact was read
    on was never recorded, so such a fact gets none. `client_auth` null was sent as
    client_secret_post, and is that now.
    """
    if former.get("format") == FORMAT:
        return copy.deepcopy(dict(former))
    classify = _build_classifier(former)
    document = {"format": FORMAT, **copy.deepcopy(dict(former))}
    _add_sureness(document, classify)
    oauth, kinds = document["oauth"], document["kinds"].values()
    is_sent = oauth and any(sends_token_requests(kind, oauth) for kind in kinds)
    if is_sent and oauth["client_auth"] is None:
        oauth["client_auth"] = "client_secret_post"
    document["facts"] = {}
    sources = former["sources"]
    for fact in list(list_facts(document)):
        if fact.evidence is not None:
            continue
        if len(sources) == 1:
            evidence = {"sureness": classify(sources[0]["url"]), "sources": copy.deepcopy(sources)}
        else:
            evidence = {"sureness": "one_independent", "sources": []}
        document["facts"][fact.path] = evidence
    first = ("format", "slug", "name", "website", "sources", "facts")
    rest = [name for name in document if name not in first]
    return {name: document[name] for name in (*first, *rest)}


def _add_sureness(document: dict[str, Any], classify: Classify) -> None:
    oauth = document["oauth"] or {"refresh": {}}
    entries = [
        *(document["api"].get("limits") or ()),
        *oauth.get("required_scopes", ()),
        *oauth["refresh"].get("responses", ()),
        *(kind["person"] for kind in document["kinds"].values() if "person" in kind),
    ]
    for entry in entries:
        entry["source"]["sureness"] = classify(entry["source"]["url"])


def _build_classifier(document: Mapping[str, Any]) -> Classify:
    """Return a function that takes pages on the provider's own domains for pages of the vendor."""
    oauth = document["oauth"] or {}
    urls = [document["website"], document["api"]["base_url"], oauth.get("token_url")]
    domains = {".".join(get_host(url).split(".")[-2:]) for url in urls if url and "//" in url}

    def classify(url: str) -> str:
        is_own = ".".join(get_host(url).split(".")[-2:]) in domains
        return "vendor" if is_own else "one_independent"

    return classify
