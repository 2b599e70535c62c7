from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import caller
from common.api.views import ApiView, body
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.policy_serializers import PolicySerializer
from credentials.api.responses import existing
from credentials.proxy.policy import policy_read, policy_set


class PolicyView(ApiView):
    scopes = {"GET": CREDENTIALS_READ, "PUT": CREDENTIALS_WRITE}

    @extend_schema(responses={200: PolicySerializer})
    def get(self, request: Request, pk: str) -> Response:
        """What may be done with the credential through the proxy."""
        id = existing(request, pk)
        return Response(policy_read(account_id=caller(request).account_id, id=id))

    @extend_schema(request=PolicySerializer, responses={200: PolicySerializer})
    def put(self, request: Request, pk: str) -> Response:
        """Replace it: methods, path patterns, a rate over all processes, requests at once in each.

        What is null or left out is not restricted; `{}` lifts every restriction.
        """
        id = existing(request, pk)
        wanted = PolicySerializer(data=body(request)).checked()
        who = caller(request)
        return Response(
            policy_set(account_id=who.account_id, id=id, actor=who.actor, policy=wanted)
        )
