"""`GET` and `PUT /v1/credentials/{id}/policy`."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.views import ApiView, read_object
from common.http import get_principal
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.policy_serializers import PolicySerializer
from credentials.api.responses import find_credential_id
from credentials.proxy.policy import policy_read, policy_set


class PolicyView(ApiView):
    scopes = {"GET": CREDENTIALS_READ, "PUT": CREDENTIALS_WRITE}

    @extend_schema(responses={200: PolicySerializer})
    def get(self, request: Request, pk: str) -> Response:
        """Return the policy: the requests that the proxy permits with this credential."""
        id = find_credential_id(request, pk)
        return Response(policy_read(account_id=get_principal(request).account_id, id=id))

    @extend_schema(request=PolicySerializer, responses={200: PolicySerializer})
    def put(self, request: Request, pk: str) -> Response:
        """Replace the policy: methods, path patterns, rate (all processes), concurrency (per process).

        A field that is null or absent restricts nothing; `{}` removes all restrictions.
        """
        id = find_credential_id(request, pk)
        policy = PolicySerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        return Response(
            policy_set(account_id=principal.account_id, id=id, actor=principal.actor, policy=policy)
        )
