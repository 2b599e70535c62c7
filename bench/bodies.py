"""Import bodies by number: the same number is the same upstream account, with the same values."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from common.datetimes import format_rfc3339

NAMES = [
    "Arrakis",
    "Caladan",
    "Kaitain",
    "Giedi",
    "Salusa",
    "Ix",
    "Tleilax",
    "Ginaz",
    "Lankiveil",
    "Wallach",
]
PLANS = ("free", "team", "business", "enterprise")
REGIONS = ("eu-west", "us-east", "ap-south")
APPS = ("salesforce", "hubspot", "linear", "github")
"""The providers whose kinds need an OAuth app."""
_NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def body(number: int, apps: dict[str, uuid.UUID], *, plan: str | None = None) -> dict[str, Any]:
    """One body. `plan` overrides the metadata's plan: an update of nothing else."""
    kind, properties = _properties(number)
    sent: dict[str, Any] = {
        "properties": {"kind": kind, **properties},
        "name": f"{NAMES[number % 10]} {number}",
        "owner_email": f"owner{number % 997}@example.com",
        "metadata": {
            "customer_id": f"cus_{number:08}",
            "plan": plan or PLANS[number % 4],
            "region": REGIONS[number % 3],
            "seats": number % 500,
            "tags": [f"cohort-{number % 53}", "imported"],
        },
    }
    app = apps.get(kind.partition("_")[0])
    if app and not kind.endswith("_key"):
        sent["oauth_app_id"] = str(app)
    return sent


def _properties(number: int) -> tuple[str, dict[str, Any]]:
    """Three in ten are Stripe keys, and so on; one in a thousand is an Airtable key."""
    mark = f"{number:012}"
    tokens = {
        "access_token": f"at-{mark}-{'a' * 60}",
        "refresh_token": f"rt-{mark}-{'r' * 60}",
        "expires_at": format_rfc3339(_NOON + dt.timedelta(minutes=number % 500_000)),
    }
    if number % 1000 == 500:
        return "airtable_key", {"key": f"pat{mark}{'k' * 40}"}
    match number % 10:
        case 0 | 1 | 2:
            secret = f"sk_live_{mark}{'s' * 20}"
            return "stripe_key", {"name": f"Stripe {mark}", "secret": secret, "test": False}
        case 3 | 4:
            url = f"https://org-{mark}.my.salesforce.com"
            return "salesforce_oauth2", {"instance_url": url, **tokens}
        case 5 | 6:
            domain = f"h{mark}.example.com"
            return "hubspot_oauth2", {"hub_id": number + 1, "hub_domain": domain, **tokens}
        case 7:
            return "linear_oauth2", {"linear_org_id": f"org-{mark}", **tokens}
        case 8:
            login = {"account_type": "Organization", "account_login": f"org-{mark}"}
            return "github_app", {**login, "installation_id": number + 1}
        case _:
            return "sendgrid_key", {"key": f"SG.{mark}.{'k' * 40}"}
