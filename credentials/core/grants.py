"""The grant of a credential: created with it, or later for a kind that did not refresh before."""

from __future__ import annotations

from credentials.core.locks import lock_grant
from credentials.models import Credential, Grant


def lock_or_create_grant(row: Credential) -> Grant:
    """Return the grant of a locked credential, locked as well, and set it as `row.grant`.

    Credentials that were stored before their provider's file began to refresh their kind have none.
    """
    grant = lock_grant(row)
    if grant is None:
        grant = Grant.objects.create(account_id=row.account_id, oauth_app_id=row.oauth_app_id)
        grant.refresh_from_db()
        row.grant = grant
        Credential.objects.filter(id=row.id).update(grant=grant)
    return grant
