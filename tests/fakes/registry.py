"""Provider files for the fake provider, in a folder as PROVIDERS_DIR takes one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fakes.documents import provider_document

_TOKENS = {
    "refresh_token": {"type": "string", "description": "The refresh token."},
    "access_token": {"type": "string", "description": "The access token."},
    "expires_at": {"type": "string", "description": "Its end.", "format": "date-time"},
}


def write_files(folder: Path, url: str, **refresh: Any) -> None:
    """`fake` with a grant of each usual kind, and `fakehub`, whose installations GitHub's resemble.

    `refresh`: what the files say of tokens (grace_seconds, access_token_seconds, idle_days …).
    """
    folder.mkdir(parents=True, exist_ok=True)
    fake = provider_document("fake", "fake", url, refresh)
    fake["kinds"] = {
        "fake_oauth2": _kind(
            "oauth2", "refresh_token", {"user_id": _text(), **_TOKENS}, "user_id", rotates=True
        ),
        "fake_app": _kind("app", "client_credentials", {"tenant": _text(), **_TOKENS}, "tenant"),
    }
    token_url = f"{url}/app/installations/{{installation_id}}/x"
    hub = provider_document("fakehub", "fakehub", url, refresh, token_url=token_url)
    hub["kinds"] = {
        "fakehub_app": _kind(
            "app",
            "github_installation",
            {"installation_id": {"type": "integer", "description": "Its id."}},
            "installation_id",
        )
    }
    for document in (fake, hub):
        (folder / f"{document['slug']}.json").write_text(json.dumps(document))


def _kind(
    mechanism: str, grant: str, properties: dict[str, Any], identity: str, *, rotates: bool = False
) -> dict[str, Any]:
    secret = [name for name in ("refresh_token", "access_token") if name in properties]
    form = "integer" if properties[identity]["type"] == "integer" else "text"
    return {
        "title": mechanism,
        "mechanism": mechanism,
        "properties": properties,
        "required": [identity],
        "secret": secret,
        "identity": [{"field": identity, "form": form}],
        "rotates": rotates,
        "grant": grant,
        "probe": None,
        "example": {},
    }


def _text() -> dict[str, Any]:
    return {"type": "string", "description": "Whose."}
