"""Provider files for the upstream: one for each way in which requests are authenticated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_files(folder: Path, port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    bearer = {"in": "header", "values": {"Authorization": "Bearer {key}"}}
    documents = [
        provider_file("upstream", url, bearer),
        provider_file("upheader", url, {"in": "header", "values": {"X-Api-Key": "{key}"}}),
        provider_file("upquery", url, {"in": "query", "values": {"api_key": "{key}"}}),
        provider_file(
            "upbasic", url, {"in": "basic", "values": {"username": "{key}", "password": ""}}
        ),
        provider_file("upbase", f"{url}/api/v2", bearer),
        provider_file(
            "uploose", url, bearer, paths=["encoded_slash", "encoded_dot", "empty_segment"]
        ),
        provider_file(
            "upslow",
            url,
            bearer,
            limits=[
                limit(requests=3, seconds=900),
                limit(requests=5, seconds=90, kinds=["upslow_key"]),
                limit(requests=1, seconds=900, kinds=["upslow_other"]),
                limit(requests=1, seconds=900, enforced=False),
                limit(at_once=2),
            ],
        ),
    ]
    for document in documents:
        (folder / f"{document['slug']}.json").write_text(json.dumps(document))


def limit(**given: Any) -> dict[str, Any]:
    source = {"url": "https://upstream.example/limits", "read": "2026-11-21"}
    return {"per": "credential", "enforced": True, "source": source, **given}


def provider_file(slug: str, url: str, auth: dict[str, Any], **api: Any) -> dict[str, Any]:
    return {
        "slug": slug,
        "name": slug.title(),
        "website": None,
        "sources": [],
        "api": {"base_url": url, "auth": auth, **api},
        "variables": {},
        "oauth": None,
        "kinds": {
            f"{slug}_key": {
                "title": "Key",
                "mechanism": "key",
                "properties": {"key": {"type": "string", "description": "Its key."}},
                "required": ["key"],
                "secret": ["key"],
                "identity": [],
                "rotates": False,
                "grant": None,
                "posted_key": "key",
                "probe": None,
                "example": {},
            }
        },
    }
