"""Kinds whose tokens act as persons: two persons of one organisation are two credentials."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from credentials.connect.identity import _add_properties
from credentials.core.moved_identity import keep_moved_identity
from credentials.core.token_properties import read_changed_properties
from credentials.models import Credential, CredentialAlias, OrganisationMember
from credentials.services import credential_change_app
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from tests.api import ApiClient
from tests.factories import TESTER, make_app

pytestmark = pytest.mark.django_db

ORG = "https://acme.my.salesforce.com"
NEW_ORG = "https://acme-new.my.salesforce.com"


@pytest.fixture
def app(account) -> OAuthApp:
    return make_app(account, "salesforce")


def make_body(app: OAuthApp, person: str | None, token: str, **more: Any) -> dict[str, Any]:
    properties = {"kind": "salesforce_oauth2", "instance_url": ORG, "refresh_token": token}
    if person:
        properties["user_id"] = person
    return {"properties": properties, "oauth_app_id": str(app.id), **more}


def post(api: ApiClient, body: dict[str, Any]) -> tuple[str, str]:
    response = api.post("/v1/credentials", body)
    assert response.status_code == 200, response.content
    return response["Latchkey-Import"], response.json()["id"]


def post_lines(api: ApiClient, *bodies: dict[str, Any]) -> dict[str, Any]:
    lines = b"\n".join(json.dumps(body).encode() for body in bodies)
    response = api.post("/v1/credentials/import", lines, content_type="application/x-ndjson")
    report: dict[str, Any] = response.json()
    return report


def test_two_persons_of_one_organisation_are_two_credentials(api, app):
    created, ann = post(api, make_body(app, "005Ann", "ann-1"))
    assert created == "created"
    created, bob = post(api, make_body(app, "005Bob", "bob-1"))
    assert created == "created"
    assert post(api, make_body(app, "005Ann", "ann-2")) == ("updated", ann)
    assert post(api, make_body(app, "005Bob", "bob-1")) == ("unchanged", bob)


def test_organisation_alone_means_its_only_row(api, app):
    _, ann = post(api, make_body(app, "005Ann", "ann-1"))
    assert post(api, make_body(app, None, "ann-2")) == ("updated", ann)
    assert post(api, make_body(app, None, "ann-2")) == ("unchanged", ann)
    assert post(api, make_body(app, "005Bob", "bob-1"))[0] == "created"


def test_organisation_alone_is_rejected_if_it_has_several_rows(api, app):
    _, ann = post(api, make_body(app, "005Ann", "ann-1"))
    _, bob = post(api, make_body(app, "005Bob", "bob-1"))
    response = api.post("/v1/credentials", make_body(app, None, "new"))
    assert response.status_code == 409
    problem = response.json()
    assert problem["code"] == "several_persons"
    assert problem["ids"] == [bob, ann]
    assert list(problem["validation_errors"]) == ["properties.user_id"]
    report = post_lines(api, make_body(app, None, "new"))
    (error,) = report["errors"]
    assert error["field"] == "properties.user_id"
    assert ann in error["reason"]
    assert bob in error["reason"]


def test_organisation_alone_with_a_known_token_means_the_row_of_the_token(api, app):
    post(api, make_body(app, "005Ann", "ann-1"))
    _, bob = post(api, make_body(app, "005Bob", "bob-1"))
    assert post(api, make_body(app, None, "bob-1")) == ("unchanged", bob)


def test_row_without_a_person_gains_it(api, app):
    created, id = post(api, make_body(app, None, "ann-1"))
    assert created == "created"
    identity = Credential.objects.get().identity
    assert post(api, make_body(app, "005Ann", "ann-2")) == ("updated", id)
    row = Credential.objects.get()
    assert row.properties["user_id"] == "005Ann"
    assert bytes(row.identity) == bytes(identity)
    assert CredentialAlias.objects.filter(credential=row).count() == 1
    assert post(api, make_body(app, "005Ann", "ann-2")) == ("unchanged", id)
    created, bob = post(api, make_body(app, "005Bob", "bob-1"))
    assert created == "created"
    assert api.post("/v1/credentials", make_body(app, None, "x")).json()["ids"] == [bob, id]


def test_row_that_learned_its_person_in_a_refresh_is_the_persons(api, app):
    _, id = post(api, make_body(app, None, "ann-1"))
    row = Credential.objects.get()
    row.properties["user_id"] = "005Ann"
    row.save(update_fields=["properties"])
    assert post(api, make_body(app, "005Bob", "bob-1"))[0] == "created"
    assert post(api, make_body(app, "005Ann", "ann-2")) == ("updated", id)


def test_person_with_the_token_of_another_person_is_rejected(api, app):
    _, ann = post(api, make_body(app, "005Ann", "ann-1"))
    response = api.post("/v1/credentials", make_body(app, "005Bob", "ann-1"))
    assert (response.status_code, response.json()["id"]) == (409, ann)


def test_token_says_which_row_of_a_file_gains_which_person(api, app):
    _, id = post(api, make_body(app, None, "ann-1"))
    report = post_lines(api, make_body(app, "005Ann", "ann-1"), make_body(app, "005Bob", "bob-1"))
    assert (report["created"], report["updated"], report["rejected"]) == (1, 1, 0)
    assert Credential.objects.get(id=id).properties["user_id"] == "005Ann"


@pytest.mark.parametrize("persons", [(None, "005Ann"), ("005Ann", None)])
def test_file_names_the_person_in_all_lines_of_an_organisation_or_in_none(api, app, persons):
    report = post_lines(api, *(make_body(app, each, f"token-{each}") for each in persons))
    assert (report["created"], report["rejected"]) == (1, 1)
    assert "line 1" in report["errors"][0]["reason"]


def test_external_id_identifies_without_the_person(api, app):
    _, id = post(api, make_body(app, "005Ann", "ann-1", external_id="cus_1"))
    assert post(api, make_body(app, None, "ann-2", external_id="cus_1")) == ("updated", id)
    assert not OrganisationMember.objects.exists()


def test_person_gains_an_external_id_with_the_same_token(api, app):
    _, id = post(api, make_body(app, "005Ann", "ann-1"))
    assert post(api, make_body(app, "005Ann", "ann-1", external_id="cus_1")) == ("updated", id)
    assert post(api, make_body(app, "005Ann", "ann-2")) == ("updated", id)


def test_person_moves_to_another_app_with_the_organisation(api, app, account):
    _, id = post(api, make_body(app, "005Ann", "ann-1"))
    other = make_app(account, "salesforce")
    row = Credential.objects.get()
    credential_change_app(account_id=account.id, id=row.id, actor=TESTER, oauth_app_id=other.id)
    assert post(api, make_body(other, None, "ann-2")) == ("updated", id)
    assert post(api, make_body(other, "005Ann", "ann-2")) == ("unchanged", id)


def move(id: str) -> None:
    """Let a refresh response state that the organisation has another address."""
    row = Credential.objects.get(id=id)
    row.properties["instance_url"] = NEW_ORG
    row.save(update_fields=["properties"])
    keep_moved_identity(row, {"instance_url": NEW_ORG})


def test_persons_of_a_moved_organisation_are_found_by_both_addresses(api, app):
    ids = {each: post(api, make_body(app, each, f"{each}-1"))[1] for each in ("005Ann", "005Bob")}
    for id in ids.values():
        move(id)
    for number, address in enumerate((NEW_ORG, ORG)):
        for person, id in ids.items():
            body = make_body(app, person, f"{person}-next-{number}")
            body["properties"]["instance_url"] = address
            assert post(api, body) == ("updated", id)


def test_moved_organisation_alone_means_its_only_row(api, app):
    _, ann = post(api, make_body(app, "005Ann", "ann-1"))
    move(ann)
    body = make_body(app, None, "ann-2")
    body["properties"]["instance_url"] = NEW_ORG
    assert post(api, body) == ("updated", ann)


def test_deleted_person_leaves_the_organisation(api, app):
    _, ann = post(api, make_body(app, "005Ann", "ann-1"))
    _, bob = post(api, make_body(app, "005Bob", "bob-1"))
    api.delete(f"/v1/credentials/{ann}")
    assert post(api, make_body(app, None, "bob-2")) == ("updated", bob)


def test_rotation_keeps_the_person(api, app):
    _, id = post(api, make_body(app, None, "ann-1"))
    post(api, make_body(app, "005Ann", "ann-2"))
    body = {"properties": {"refresh_token": "ann-3"}}
    assert api.post(f"/v1/credentials/{id}/rotate", body).status_code == 200
    assert post(api, make_body(app, "005Ann", "ann-4")) == ("updated", id)
    assert post(api, make_body(app, None, "ann-5")) == ("updated", id)
    assert Credential.objects.count() == 1


def test_connection_finds_the_person_in_the_identity_url():
    kind = get_registry().kinds["salesforce_oauth2"]
    assert kind.connect is not None
    properties: dict[str, Any] = {"kind": kind.name}
    token = {"instance_url": ORG, "id": "https://login.salesforce.com/id/00Dx0/005Ann"}
    _add_properties(kind, kind.connect.properties, {"token": token}, properties)
    assert properties == {"kind": kind.name, "instance_url": ORG, "user_id": "005Ann"}


def test_refresh_response_names_the_person_once():
    kind = get_registry().kinds["salesforce_oauth2"]
    document = {"access_token": "a", "id": "https://login.salesforce.com/id/00Dx0/005Ann"}
    tokens: Any = SimpleNamespace(scope="", document=document)
    assert read_changed_properties(kind, tokens, {"kind": kind.name}) == {"user_id": "005Ann"}
    assert read_changed_properties(kind, tokens, {"kind": kind.name, "user_id": "005Bob"}) == {}
