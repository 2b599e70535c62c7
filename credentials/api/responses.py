"""Find the credential of a request, and return it as a response."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response

from common.api import etags
from common.api.views import require_id
from common.errors import NotFoundError
from common.http import get_principal
from credentials.core.queries import fetch_one
from credentials.models import Credential


def find_credential_id(request: Request, pk: str) -> uuid.UUID:
    """Call `require_id` for the credentials of the caller's account."""
    account_id = get_principal(request).account_id
    return require_id(Credential.objects.filter(account_id=account_id), pk)


def credential_response(request: Request, id: uuid.UUID | None) -> Response:
    """Return the credential as it is stored now, with its ETag.

    Raises NotFoundError if there is none, or if another request has deleted it since.
    """
    credential = fetch_one(get_principal(request).account_id, id) if id else None
    if credential is None:
        raise NotFoundError()
    return Response(credential.document, headers={"ETag": etags.format_etag(credential.revision)})
