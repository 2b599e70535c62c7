"""A second identity for an upstream account whose own address has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from credentials.models import Credential, CredentialAlias, OrganisationMember
from providers.properties import get_identity_values, get_person_value
from providers.registry import get_registry
from vault.services import compute_identity


def keep_moved_identity(row: Credential, changed: Mapping[str, Any]) -> None:
    """Let imports find the row under its new address, too, if `changed` has a field of its identity.

    `row` has its new properties, and is locked. The row keeps its own identity, so that a file with
    the former address finds it as well.
    """
    kind = get_registry().get_kind(row.kind)
    # An external id identifies the credential alone.
    if kind is None or row.external_id or not {part.field for part in kind.identity} & set(changed):
        return
    values = get_identity_values(kind, row.properties)
    if values is None or kind.identity_with_secret:
        return
    # The same parts as those of an import (credentials/imports/validation.py).
    app_id = str(row.oauth_app_id) if kind.needs_app else ""
    parts = []
    if person := get_person_value(kind, row.properties):
        parts.append([kind.name, app_id, "person", *values, person])
    members = OrganisationMember.objects.filter(account_id=row.account_id)
    own = members.filter(credential_id=row.id).values("organisation")
    others = members.filter(organisation__in=own).exclude(credential_id=row.id)
    # Without the person it would find this row for the other persons, who have moved as well.
    if not person or not others.exists():
        parts.append([kind.name, app_id, "fields", *values])
    identities = {compute_identity(row.account_id, each) for each in parts}
    used = Credential.objects.filter(account_id=row.account_id, identity__in=identities)
    identities -= {bytes(identity) for identity in used.values_list("identity", flat=True)}
    aliases = [
        CredentialAlias(account_id=row.account_id, credential_id=row.id, identity=identity)
        for identity in sorted(identities)
    ]
    CredentialAlias.objects.bulk_create(aliases, ignore_conflicts=True)
