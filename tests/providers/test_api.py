"""/v1/providers."""

import pytest

from providers.registry import get_registry

pytestmark = pytest.mark.django_db


def test_all_providers_are_listed(api):
    answer = api.get("/v1/providers").json()
    assert [item["slug"] for item in answer["data"]] == list(get_registry().providers)
    assert answer["next_cursor"] is None


def test_one_provider_documents_connect_and_revocation(api):
    answer = api.get("/v1/providers/slack").json()
    assert answer["oauth"]["quirks"] == ["slack_answer"]
    assert answer["oauth"]["revocation"]["url"] == "https://slack.com/api/auth.revoke"
    (kind,) = [item for item in answer["kinds"] if item["kind"] == "slack_oauth2"]
    assert kind["connect"]["properties"]["team_id"] == {"place": "token", "at": "/team/id"}
    assert kind["connect"]["call"] is None


def test_kind_without_identity_has_no_connect(api):
    kinds = api.get("/v1/providers/bigcommerce").json()["kinds"]
    assert {kind["kind"]: kind["connect"] for kind in kinds}["bigcommerce_oauth2"] is None


def test_one_provider_documents_its_rate_limits(api):
    everything, bases, months = api.get("/v1/providers/airtable").json()["limits"]
    assert everything.pop("source")["url"].startswith("https://support.airtable.com/")
    assert everything.pop("note")
    assert everything == {
        "requests": 50,
        "seconds": 1,
        "at_once": None,
        "per": "account",
        "kinds": ["airtable_key"],
        "enforced": True,
    }
    assert (bases["requests"], bases["seconds"], bases["enforced"]) == (5, 1, False)
    assert (months["requests"], months["enforced"]) == (None, False)
    assert api.get("/v1/providers/workday").json()["limits"] is None


def test_an_unknown_provider_is_not_found(api):
    assert api.get("/v1/providers/arrakis").status_code == 404
