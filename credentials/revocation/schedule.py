"""Scheduling of a revocation, which the worker performs at the provider."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from common.db.ids import uuid7
from common.errors import ServiceError
from credentials.imports.lookup import is_connected
from credentials.imports.validation import validate_item
from credentials.models import Revocation
from credentials.revocation.policy import can_revoke
from providers.kinds import Kind
from providers.properties import MASK
from vault.sealing import Place, seal


def schedule_revocation(
    *,
    account_id: uuid.UUID,
    oauth_app_id: uuid.UUID | None,
    kind: Kind,
    body: Mapping[str, Any],
    target_id: uuid.UUID,
    skip_if_connected: bool = True,
) -> bool:
    """Schedule the revocation of the grant in an import body, in the caller's transaction.

    `skip_if_connected` keeps a grant whose upstream account or refresh token has a credential.
    Returns whether the revocation was scheduled.
    """
    properties = dict(body["properties"])
    secrets = {n: properties[n] for n in kind.secret_fields if isinstance(properties.get(n), str)}
    if not secrets or not can_revoke(kind.name):
        return False
    # Many providers revoke all grants of a user at once, and so the credential's as well.
    if skip_if_connected:
        # The body may lack the very property that says which upstream account it is.
        with suppress(ServiceError):
            item = validate_item(dict(body), account_id=account_id)
            if is_connected(account_id, item):
                return False
    row = Revocation(
        id=uuid7(),
        account_id=account_id,
        oauth_app_id=oauth_app_id,
        credential_id=target_id,
        kind=kind.name,
        properties={**properties, **dict.fromkeys(secrets, MASK)},
    )
    row.sealed = seal(Place.of(row, "sealed"), secrets)
    row.save(force_insert=True)
    return True
