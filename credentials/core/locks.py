"""The lock of a credential's row."""

from __future__ import annotations

import uuid

from common.api import etags
from common.api.etags import ETags
from common.errors import NotFoundError
from credentials.models import Credential


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
