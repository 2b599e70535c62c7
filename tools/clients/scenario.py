"""The calls of tools/check_clients with the client that openapi-python-client generates."""

import json
import os

from latchkey_generated import AuthenticatedClient
from latchkey_generated.api.credentials import (
    credentials_create,
    credentials_get,
    credentials_import,
    credentials_list,
    credentials_token,
    credentials_update,
)
from latchkey_generated.api.providers import providers_list
from latchkey_generated.models import (
    Credential,
    CredentialImportRequest,
    CredentialUpdateRequest,
    Problem,
)

client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"])
providers = json.loads(providers_list.sync_detailed(client=client).content)["data"]
kinds = [
    kind
    for provider in providers
    for kind in provider["kinds"]
    # Those of custom services need one that staff have registered.
    if not kind["needs_app"] and provider["slug"] != "custom"
]
stored = []
for kind in [each for each in kinds if each["kind"] == "stripe_sequin"] + kinds[:10]:
    body = CredentialImportRequest.from_dict(
        {
            "properties": {**kind["example"], "kind": kind["kind"]},
            "external_id": kind["kind"],
            "metadata": {"plan": "pro" if len(stored) % 2 else "free"},
        }
    )
    credential = credentials_create.sync(client=client, body=body)
    assert isinstance(credential, Credential), credential
    stored.append(credential)
print(f"imported {len(stored)} kinds: {', '.join(each.kind for each in stored)}")

page = credentials_list.sync(client=client, metadata='{"plan": "pro"}', limit=3)
assert [each.metadata["plan"] for each in page.data] == ["pro"] * 3, page
print(f"filtered by metadata: {len(page.data)}, next_cursor {bool(page.next_cursor)}")

first = credentials_get.sync(stored[0].id, client=client)
assert first == stored[0]
changed = credentials_update.sync(
    stored[0].id, client=client, body=CredentialUpdateRequest(name="Renamed")
)
assert changed.name == "Renamed", changed
print("patched")

report = credentials_import.sync(
    client=client, body=[CredentialImportRequest.from_dict({"properties": {"kind": "nothing"}})]
)
assert report.rejected == 1, report
print(f"import report: {report.errors[0].reason}")

problem = credentials_token.sync(stored[1].id, client=client)
assert isinstance(problem, Problem), problem
assert problem.status >= 400
print(f"token of a key: {problem.status} {problem.title}: {problem.detail}")
bad = credentials_create.sync(
    client=client, body=CredentialImportRequest.from_dict({"properties": {"kind": "x"}})
)
assert isinstance(bad, Problem)
assert bad.validation_errors.additional_properties, bad
print(f"error: {bad.status} {bad.validation_errors.to_dict()}")
