"""Sample data of half a year: most credentials work, some are broken, some expire soon."""

from __future__ import annotations

import random

from django.contrib.auth.models import User

from accounts.models import Account
from accounts.services import account_create, token_create
from common.actors import Actor, get_command_actor
from common.scopes import CREDENTIALS_READ, CREDENTIALS_USE
from config import demo
from config.demo_history import SampleEvidence, simulate_history
from credentials.health.evidence import Evidence
from credentials.models import Credential
from tools.staging.rows import make_one_of_each
from vault.services import verify_keyring

FAVOURITES = {
    "salesforce": 9, "hubspot": 8, "stripe": 8, "github": 6, "slack": 6, "google": 5, "shopify": 4,
    "quickbooks": 4, "linear": 3, "openai": 3, "notion": 2, "jira": 2,
}  # fmt: skip
REJECTED_GRANT = Evidence(
    source="refresh",
    verdict="rejected",
    note="The provider rejects the grant: the owner has to connect again.",
    code="invalid_grant",
)
REJECTED_KEY = Evidence(
    source="probe",
    verdict="rejected",
    note="The provider responded with 401 to a request with this key.",
    code="http_401",
)
OUTAGE = Evidence(
    source="probe",
    verdict="unavailable",
    note="The provider did not respond. It will be probed again soon.",
    code="timeout",
)
WORKS = Evidence(source="probe", verdict="ok", note="The provider accepts it.", code="http_200")
SAMPLES = SampleEvidence(grant=REJECTED_GRANT, key=REJECTED_KEY, silence=OUTAGE, works=WORKS)


def fill(user: str, password: str) -> None:
    """Fill an empty database and create a superuser."""
    verify_keyring()
    User.objects.create_superuser(user, password=password)
    actor = Actor(name=f"user:{User.objects.get().pk}", ip="127.0.0.1")
    chance = random.Random(7)
    for name in ("Acme", "Choam Trading"):
        account = account_create(name=name, actor=actor)
        demo.import_sample_data(
            account_id=account.id, actor=get_command_actor("import_credentials")
        )
        token_create(
            account_id=account.id,
            name="billing service",
            scopes=[CREDENTIALS_READ, CREDENTIALS_USE],
            actor=actor,
        )
    _thin_out(chance)
    for account in Account.objects.all():
        simulate_history(account_id=account.id, actor=actor, samples=SAMPLES)
    first = Account.objects.order_by("id")[0]
    make_one_of_each(first, User.objects.get(), "Lankiveil billing", REJECTED_KEY.note)


def _thin_out(chance: random.Random) -> None:
    """Delete credentials until few providers have many customers and most have a few."""
    for row in list(Credential.objects.only("id", "provider")):
        if chance.random() > 0.1 + FAVOURITES.get(row.provider, 0.6) / 10:
            row.delete()
