"""What a list can be asked by its address: the filters that it offers, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, ApiToken, Session
from credentials.models import Credential
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.admin.pages import address
from tests.factories import (
    make_account,
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Credential, "secrets__startswith"),
        (Credential, "secrets__isnull"),
        (Credential, "fingerprints__secret__0__startswith"),
        (Credential, "identity__gt"),
        (Credential, "properties__secret"),
        (Credential, "account__slug__startswith"),
        (OAuthApp, "secrets__fingerprint__startswith"),
        (OAuthApp, "secrets__sealed__isnull"),
        (ApiToken, "digest__gt"),
        (Session, "digest"),
        (Session, "user__password__startswith"),
        (Event, "account__slug"),
    ],
)
def test_list_rejects_a_lookup_without_a_filter(
    browser: Client, model: type[Any], lookup: str
) -> None:
    assert browser.get(address(model, "changelist"), {lookup: "x"}).status_code == 400


@pytest.mark.parametrize("model", [Credential, OAuthApp, ApiToken, Session, Account, Event])
def test_secret_columns_cannot_be_searched(model: type[Any]) -> None:
    from django.contrib import admin

    hidden = {"secrets", "sealed", "fingerprints", "fingerprint", "identity", "digest"}
    model_admin = admin.site._registry[model]
    named = {
        str(name)
        for names in (
            model_admin.list_display,
            model_admin.search_fields,
            model_admin.list_filter,
            model_admin.ordering or (),
            model_admin.readonly_fields,
            model_admin.fields or (),
        )
        for name in names
    }
    assert not {name for name in named if hidden & set(name.lstrip("-=").split("__"))}


@pytest.fixture
def rows(account: Account) -> dict[str, Credential]:
    app = make_app(account)
    named = make_stripe_body(name="Billing of the north", owner_email="north@acme.example")
    return {
        "linear": make_credential(account, make_linear_body(app, name="Linear")),
        "north": make_credential(account, named),
        "other": make_credential(make_account(), make_stripe_body(name="Elsewhere")),
    }


def list_names(browser: Client, **query: str) -> set[str]:
    response = browser.get(address(Credential, "changelist"), query)
    return {row.name for row in response.context["cl"].result_list}


def test_filters_narrow_the_list(
    browser: Client, account: Account, rows: dict[str, Credential]
) -> None:
    assert list_names(browser, account=account.slug) == {
        "Linear",
        "Billing of the north",
    }
    assert list_names(browser, provider="linear") == {"Linear"}
    assert list_names(browser, kind="stripe_key") == {"Billing of the north", "Elsewhere"}
    assert list_names(browser, health="error") == set()
    assert len(list_names(browser, health="unknown")) == 3


def test_search_finds_part_of_a_name(browser: Client, rows: dict[str, Credential]) -> None:
    assert list_names(browser, q="of the NORTH") == {"Billing of the north"}


def test_search_finds_the_owner(browser: Client, rows: dict[str, Credential]) -> None:
    assert list_names(browser, q="north@acme") == {"Billing of the north"}


def test_search_finds_an_id_in_any_form(browser: Client, rows: dict[str, Credential]) -> None:
    assert list_names(browser, q=str(rows["linear"].pk)) == {"Linear"}
    assert list_names(browser, q=rows["linear"].pk.hex.upper()) == {"Linear"}


def test_kind_filter_offers_kinds_of_the_selected_provider(
    browser: Client, rows: dict[str, Credential]
) -> None:
    response = browser.get(address(Credential, "changelist"), {"provider": "linear"})
    (kinds,) = [s for s in response.context["cl"].filter_specs if s.title == "kind"]
    assert {name for name, _ in kinds.lookup_choices} == {"linear_key", "linear_oauth2"}


def test_search_finds_apps_by_client_id(browser: Client, account: Account) -> None:
    app = make_app(account, client_id="client-of-north")
    make_app(account)
    response = browser.get(address(OAuthApp, "changelist"), {"q": "of-north"})
    assert [row.pk for row in response.context["cl"].result_list] == [app.pk]


def test_search_finds_events_by_their_target(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    make_credential(account)
    response = browser.get(address(Event, "changelist"), {"q": str(credential.pk)})
    assert [row.verb for row in response.context["cl"].result_list] == ["credential.created"]


def test_filter_events_by_verb(browser: Client, account: Account) -> None:
    make_credential(account)
    response = browser.get(address(Event, "changelist"), {"verb": "account.created"})
    assert {row.verb for row in response.context["cl"].result_list} == {"account.created"}
