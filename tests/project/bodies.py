"""Valid and invalid import bodies that contain known secrets."""

from __future__ import annotations

import json
from typing import Any

from tests.project.canaries import CANARIES


def make_valid_bodies(app: str) -> list[dict[str, Any]]:
    """Return an import body of each of several kinds, the last one with the OAuth app `app`."""
    kinds: list[dict[str, Any]] = [
        {"kind": "stripe_key", "secret": CANARIES["key"]},
        {"kind": "checkout_champ_password", "login_id": "me", "password": CANARIES["password"]},
        {"kind": "openai_key", "key": CANARIES["pem"]},
        {"kind": "anthropic_key", "key": CANARIES["é secret"]},
        {
            "kind": "binance_key",
            "api_key": CANARIES["part one"],
            "api_secret": CANARIES["part two"],
        },
        {"kind": "custom_key", "provider": "custom.own", "key": CANARIES["custom key"]},
    ]
    grant = {"access_token": CANARIES["access token"], "refresh_token": CANARIES["refresh token"]}
    oauth = {"kind": "linear_oauth2", "linear_org_id": "o", **grant}
    return [{"properties": kind} for kind in kinds] + [{"properties": oauth, "oauth_app_id": app}]


def make_invalid_bodies(body: dict[str, Any]) -> list[Any]:
    """Return bodies, or raw bytes, that an import rejects with a 4xx status."""
    properties = body["properties"]
    secret = next(v for v in reversed(properties.values()) if v in CANARIES.values())
    return [
        {**body, "metadata": 7},
        {**body, "nope": secret},
        {**body, "properties": {**properties, "nope": secret}},
        {**body, "properties": {**properties, "kind": "nope"}},
        {**body, "properties": {**properties, "kind": secret}},
        {
            **body,
            "properties": {
                **{k: [v] for k, v in properties.items()},
                "kind": properties["kind"],
            },
        },
        {
            **body,
            "properties": {
                **{k: v * 999 for k, v in properties.items()},
                "kind": properties["kind"],
            },
        },
        {**body, "properties": secret},
        {**body, "oauth_app_id": secret},
        {**body, "owner_email": secret},
        {**body, "obtained_at": secret},
        json.dumps(body).encode()[:-3],
        json.dumps(body).encode() + secret.encode(),
        json.dumps(body).encode("utf-16"),
        json.dumps(secret).encode(),
    ]
