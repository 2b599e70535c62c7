"""The locks of a credential's row and of its grant, always acquired in this order."""

from __future__ import annotations

import uuid

from common.api import etags
from common.api.etags import ETags
from common.errors import NotFoundError
from credentials.models import Credential, Grant


def lock_credential(
    account_id: uuid.UUID, id: uuid.UUID, if_match: ETags | None = None
) -> Credential:
    """Return the account's credential, locked until the transaction ends.

    Raises NotFoundError, or PreconditionFailedError if its revision is none of `if_match`.
    """
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    row = rows.filter(account_id=account_id, id=id).first()
    if row is None:
        raise NotFoundError()
    etags.check_if_match(row.revision, if_match)
    return row


def lock_grant(row: Credential) -> Grant | None:
    """Return the grant of a locked credential, locked as well, and set it as `row.grant`.

    No process can claim the grant until the transaction ends.
    """
    if row.grant_id is not None:
        row.grant = Grant.objects.select_for_update(no_key=True).get(id=row.grant_id)
    return row.grant
