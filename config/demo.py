"""Sample data for the demo: credentials of every kind, from the examples of the provider files."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any, Final

from common.actors import Actor
from common.pem import generate_private_key
from credentials.imports.batch import import_lines
from credentials.imports.readers import read_array
from oauth_apps.services import oauth_app_create
from oauth_apps.validation import signs_requests
from providers.kinds import Kind
from providers.registry import get_registry

PER_KIND: Final = 6
RETURN_TO: Final = "https://acme.example/connected"
"""The return address of README's example of a connect link."""

COMPANIES: Final = (
    "Atreides",
    "Harkonnen",
    "Corrino",
    "Ordos",
    "Ginaz",
    "Richese",
    "Vernius",
    "Moritani",
)
PLANS: Final = ("free", "team", "enterprise")
REGIONS: Final = ("eu", "us", "apac")


def import_sample_data(*, account_id: uuid.UUID, actor: Actor) -> tuple[int, int]:
    """Import sample credentials with made-up values.

    Return the number of credentials and of providers.
    """
    kinds = [kind for kind in get_registry().kinds.values() if kind.provider != "custom"]
    kinds = list({kind.name: kind for kind in kinds}.values())
    apps = {
        slug: str(
            oauth_app_create(
                account_id=account_id,
                actor=actor,
                provider=slug,
                name=f"Demo - {get_registry().providers[slug].name}",
                client_id=f"demo-{slug}",
                client_secret=generate_private_key() if signs_requests(slug) else uuid.uuid4().hex,
                redirect_uris=[RETURN_TO],
            )
        )
        for slug in sorted({kind.provider for kind in kinds if kind.needs_app})
    }
    bodies = [body for kind in kinds for body in _build_bodies(kind, apps.get(kind.provider))]
    # With a fixed seed, so that each demo has the same order.
    random.Random(1).shuffle(bodies)  # noqa: S311 - sample data
    report = import_lines(read_array(bodies), account_id=account_id, actor=actor)
    return report.created, len({kind.provider for kind in kinds})


def _build_bodies(kind: Kind, app_id: str | None) -> Iterator[dict[str, Any]]:
    for number in range(PER_KIND):
        company = COMPANIES[number % len(COMPANIES)]
        # Numbered, so that no two sample credentials have the same secret.
        secrets = {
            name: f"{kind.example[name]}{number:04d}"
            for name in kind.secret_fields
            if name in kind.example
        }
        body: dict[str, Any] = {
            "name": f"{company} {kind.title}",
            "properties": {**kind.example, **secrets},
            "external_id": f"{kind.name}-{number}",
            "metadata": {
                "plan": PLANS[number % len(PLANS)],
                "region": REGIONS[number // 2 % len(REGIONS)],
                "seats": number * 7,
            },
            "owner_email": f"{company.lower()}@example.com",
        }
        yield {**body, "oauth_app_id": app_id} if app_id and kind.needs_app else body
