from __future__ import annotations

import uuid

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import caller
from common.api.query_params import PAGING
from common.api.views import AccountView, body, no_body
from common.scopes import CREDENTIALS_READ, CREDENTIALS_USE
from credentials.api.health_serializers import HealthChangeSerializer, ReportSerializer
from credentials.api.responses import answer, existing
from credentials.api.serializers import CredentialSerializer
from credentials.health.models import HealthChange
from credentials.models import Credential
from credentials.probing.on_demand import credential_check, credential_report


class CheckView(AccountView[Credential]):
    scopes = {"POST": CREDENTIALS_USE}
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer

    @extend_schema(request=None, responses=CredentialSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Ask the provider now whether the credential works; `health` has the answer.

        Where the provider has no request that tells, a refresh is made; where there is neither, a
        note says so. Ten times a minute for a credential.
        """
        id = existing(request, pk)
        no_body(request)
        who = caller(request)
        credential_check(account_id=who.account_id, id=id, actor=who.actor)
        return answer(request, id)


class ReportView(AccountView[Credential]):
    scopes = {"POST": CREDENTIALS_USE}
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer

    @extend_schema(request=ReportSerializer, responses=CredentialSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Say what the provider answered your own request with. 401 and 403 are looked into now."""
        id = existing(request, pk)
        sent = ReportSerializer(data=body(request)).checked()
        who = caller(request)
        credential_report(account_id=who.account_id, id=id, actor=who.actor, status=sent["status"])
        return answer(request, id)


class HealthChangesView(AccountView[HealthChange]):
    scopes = {"GET": CREDENTIALS_READ}
    queryset = HealthChange.objects.all()
    serializer_class = HealthChangeSerializer
    query_parameters = PAGING

    @extend_schema(responses=HealthChangeSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """How the credential's health changed, newest first."""
        rows = self._of(existing(request, pk))
        page = self.pages.paginate_queryset(rows, request, view=self)
        found: Response = self.pages.get_paginated_response(
            [HealthChangeSerializer(row).data for row in page]
        )
        return found

    def _of(self, id: uuid.UUID) -> QuerySet[HealthChange]:
        return self.get_queryset().filter(target_type="credential", target_id=id)
