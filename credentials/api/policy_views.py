from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.views import ApiView, read_object
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.policy_serializers import PolicySerializer
from credentials.api.responses import find_credential_id
from credentials.proxy.policy import policy_read, policy_set


class PolicyView(ApiView):
    scopes = {"GET": CREDENTIALS_READ, "PUT": CREDENTIALS_WRITE}

    @extend_schema(responses={200: PolicySerializer})
    def get(self, request: Request, pk: str) -> Response:
        """What may be done with the credential through the proxy."""
        id = find_credential_id(request, pk)
        return Response(policy_read(account_id=get_principal(request).account_id, id=id))

    @extend_schema(request=PolicySerializer, responses={200: PolicySerializer})
    def put(self, request: Request, pk: str) -> Response:
        """Replace it: methods, path patterns, a rate over all processes, requests at once in each.

        What is null or left out is not restricted; `{}` lifts every restriction.
        """
        id = find_credential_id(request, pk)
        wanted = PolicySerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        return Response(
            policy_set(account_id=who.account_id, id=id, actor=who.actor, policy=wanted)
        )
