"""/v1/providers."""

import pytest

from providers.registry import get_registry

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("limit", [1, 7, 50, 200])
def test_all_providers_are_listed_in_pages(api, limit):
    slugs: list[str] = []
    path: str | None = f"/v1/providers?limit={limit}"
    while path:
        response = api.get(path)
        page = response.json()
        assert len(page["data"]) <= limit
        slugs += [item["slug"] for item in page["data"]]
        cursor = page["next_cursor"]
        assert ("Link" in response.headers) is (cursor is not None)
        path = f"/v1/providers?limit={limit}&cursor={cursor}" if cursor else None
    assert slugs == list(get_registry().providers)


def test_a_page_has_fifty_providers_by_default(api):
    page = api.get("/v1/providers").json()
    assert len(page["data"]) == 50
    assert page["next_cursor"]


@pytest.mark.parametrize(
    ("q", "slugs"), [("GitH", ["github"]), ("clickup", ["clickup"]), ("~", [])]
)
def test_providers_are_found_by_a_part_of_their_name(api, q, slugs):
    page = api.get(f"/v1/providers?q={q}").json()
    assert [item["slug"] for item in page["data"]] == slugs
    assert page["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "YQ==", "_w==", "////", "é"])
def test_an_unknown_cursor_is_named(api, cursor):
    response = api.get(f"/v1/providers?cursor={cursor}")
    assert response.status_code == 400
    assert list(response.json()["validation_errors"]) == ["cursor"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "page=2"])
def test_wrong_parameters_are_named(api, query):
    response = api.get(f"/v1/providers?{query}")
    assert response.status_code == 400
    assert list(response.json()["validation_errors"]) == [query.partition("=")[0]]


def test_one_provider_shows_the_evidence_of_its_facts(api):
    shown = api.get("/v1/providers/asana").json()["facts"]
    assert shown["oauth.token_url"]["sureness"] == "two_independent"
    assert len(shown["oauth.token_url"]["sources"]) >= 2
    assert "facts" not in api.get("/v1/providers?q=asana").json()["data"][0]


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
