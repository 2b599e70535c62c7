"""Find the stored credential of a validated body, for connections and revocations."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from credentials.core import refresh_tokens
from credentials.imports.validation import ImportItem
from credentials.models import Credential, CredentialAlias
from providers.properties import get_person_value


def is_connected(account_id: uuid.UUID, item: ImportItem) -> bool:
    """Return True if the item's upstream account or its refresh token has a credential."""
    token = item.fingerprints.get(refresh_tokens.FIELD)
    if token and refresh_tokens.find_owners(account_id, [token]):
        return True
    identities = [each for each in (item.identity, item.organisation) if each]
    rows = Credential.objects.filter(account_id=account_id, identity__in=identities)
    if any(
        belongs_to(item, identity, properties)
        for identity, properties in rows.values_list("identity", "properties")
    ):
        return True
    return CredentialAlias.objects.filter(account_id=account_id, identity=item.identity).exists()


def is_credential_of(item: ImportItem, *, account_id: uuid.UUID, id: uuid.UUID) -> bool:
    """Return True if the credential `id` is the one of the item's identity."""
    rows = Credential.objects.filter(account_id=account_id, id=id)
    row = rows.values_list("identity", "properties").first()
    if row is None:
        return False
    aliases = CredentialAlias.objects.filter(
        account_id=account_id, identity=item.identity, credential_id=id
    )
    return belongs_to(item, *row) or aliases.exists()


def belongs_to(
    item: ImportItem, identity: bytes | memoryview[int], properties: Mapping[str, Any]
) -> bool:
    """Return True if a row with these values is the item's: of its person, if both name one."""
    if bytes(identity) == item.identity:
        return True
    if item.organisation is None or bytes(identity) != item.organisation:
        return False
    return get_person_value(item.kind, properties) in {None, item.person}
