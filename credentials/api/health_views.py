"""`/check`, `/report` and `/health-changes` of a credential."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.query_params import PAGINATION_PARAMS
from common.api.views import AccountView, read_object, reject_body
from common.http import get_principal
from common.scopes import CREDENTIALS_READ, CREDENTIALS_USE
from credentials.api.health_serializers import HealthChangeSerializer, ReportSerializer
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.health.models import HealthChange
from credentials.models import Credential
from credentials.probing.on_demand import credential_check, credential_report


class CheckView(AccountView[Credential]):
    scopes = {"POST": CREDENTIALS_USE}
    rate_limits = {"POST": "provider_call"}
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer

    @extend_schema(request=None, responses=CredentialSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Ask the provider now whether the credential works. The result is in `health`.

        If the provider has no request for that, the token is refreshed; if that is impossible too, a
        note says so. At most ten times a minute for a credential.
        """
        id = find_credential_id(request, pk)
        reject_body(request)
        principal = get_principal(request)
        credential_check(account_id=principal.account_id, id=id, actor=principal.actor)
        return credential_response(request, id)


class ReportView(AccountView[Credential]):
    scopes = {"POST": CREDENTIALS_USE}
    rate_limits = {"POST": "report"}
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer

    @extend_schema(request=ReportSerializer, responses=CredentialSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Report the status of a provider's response to your request. 401 and 403 start a check."""
        id = find_credential_id(request, pk)
        payload = ReportSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        credential_report(
            account_id=principal.account_id, id=id, actor=principal.actor, status=payload["status"]
        )
        return credential_response(request, id)


class HealthChangesView(AccountView[HealthChange]):
    scopes = {"GET": CREDENTIALS_READ}
    queryset = HealthChange.objects.all()
    serializer_class = HealthChangeSerializer
    query_parameters = PAGINATION_PARAMS

    @extend_schema(responses=HealthChangeSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """List the changes of the credential's health, newest first."""
        id = find_credential_id(request, pk)
        rows = self.get_queryset().filter(target_type="credential", target_id=id)
        page = self.keyset_paginator.paginate_queryset(rows, request, view=self)
        response: Response = self.keyset_paginator.get_paginated_response(
            [HealthChangeSerializer(row).data for row in page]
        )
        return response
