"""What the calls on one credential share: finding it before anything else, and answering with it."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api import etags
from common.api.views import require_id as existing_among
from common.errors import NotFoundError
from credentials.core import queries
from credentials.models import Credential


def find_credential_id(request: Request, pk: str) -> uuid.UUID:
    """The id, or NotFound before the body is looked at: another account's is not told apart."""
    rows = Credential.objects.filter(account_id=get_principal(request).account_id)
    return existing_among(rows, pk)


def credential_response(request: Request, id: uuid.UUID | None) -> Response:
    """The credential, read afresh. Raises NotFound where it was deleted meanwhile."""
    shown = queries.fetch_one(get_principal(request).account_id, id) if id else None
    if shown is None:
        raise NotFoundError()
    return Response(shown.document, headers={"ETag": etags.format_etag(shown.revision)})
