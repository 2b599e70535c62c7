"""What the calls on one credential share: finding it before anything else, and answering with it."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import caller
from common.api import etags
from common.api.views import existing as existing_among
from common.errors import NotFound
from credentials.core import queries
from credentials.models import Credential


def existing(request: Request, pk: str) -> uuid.UUID:
    """The id, or NotFound before the body is looked at: another account's is not told apart."""
    rows = Credential.objects.filter(account_id=caller(request).account_id)
    return existing_among(rows, pk)


def answer(request: Request, id: uuid.UUID | None) -> Response:
    """The credential, read afresh. Raises NotFound where it was deleted meanwhile."""
    shown = queries.one(caller(request).account_id, id) if id else None
    if shown is None:
        raise NotFound()
    return Response(shown.document, headers={"ETag": etags.etag(shown.revision)})
