from __future__ import annotations

import uuid

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.api import etags
from common.api.views import (
    AccountView,
    parse_path_id,
    read_object,
    read_optional_object,
    reject_body,
    require_id,
)
from common.api.viewsets import ServiceViewSet
from common.http import get_principal
from common.scopes import WEBHOOKS_READ, WEBHOOKS_WRITE
from webhooks import services
from webhooks.filters import DeliveryFilter
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.serializers import (
    DeliverySerializer,
    EndpointCreateSerializer,
    EndpointSerializer,
    EndpointUpdateSerializer,
    EndpointWithSecretSerializer,
    RotateSerializer,
)


@extend_schema_view(
    retrieve=extend_schema(responses=EndpointSerializer),
    partial_update=extend_schema(
        description="Change the given fields.\n\n"
        "Nothing is enqueued for a disabled endpoint; its pending deliveries wait.",
        request=EndpointUpdateSerializer,
        responses=EndpointSerializer,
    ),
    destroy=extend_schema(
        description="Delete the endpoint and its deliveries, also pending ones.",
        responses={204: None},
    ),
)
class WebhookEndpointViewSet(mixins.ListModelMixin, ServiceViewSet[WebhookEndpoint]):
    """The webhook endpoints of the account."""

    scopes = {
        "GET": WEBHOOKS_READ,
        "POST": WEBHOOKS_WRITE,
        "PATCH": WEBHOOKS_WRITE,
        "DELETE": WEBHOOKS_WRITE,
    }
    queryset = WebhookEndpoint.objects.all()
    serializer_class = EndpointSerializer
    update_serializer = EndpointUpdateSerializer
    update_service = staticmethod(services.endpoint_update)
    delete_service = staticmethod(services.endpoint_delete)

    @idempotent(calls_upstream=True)
    @extend_schema(request=EndpointCreateSerializer, responses={201: EndpointWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Add an endpoint. Its signing secret is in this response only."""
        fields = EndpointCreateSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        id, secret = services.endpoint_create(
            account_id=principal.account_id, actor=principal.actor, **fields
        )
        return self.respond(id, status=201, secret=secret)

    @extend_schema(request=RotateSerializer, responses={200: EndpointWithSecretSerializer})
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Create a new secret, shown only here. The old one signs too for 24 hours."""
        id = self.require_id(pk)
        fields = RotateSerializer(data=read_optional_object(request)).validate_data()
        principal = get_principal(request)
        secret = services.secret_rotate(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            if_match=etags.read_if_match(request),
            **fields,
        )
        return self.respond(id, secret=secret)

    def respond(self, id: uuid.UUID, *, status: int = 200, secret: str | None = None) -> Response:
        endpoint = self.get_row(id)
        document = dict(EndpointSerializer(endpoint).data)
        headers = {"ETag": etags.format_etag(endpoint.revision)}
        if secret is not None:
            document["secret"] = secret
            headers["Cache-Control"] = "no-store"
        return Response(document, status=status, headers=headers)


class WebhookDeliveryViewSet(
    AccountView[WebhookDelivery], mixins.ListModelMixin, viewsets.GenericViewSet[WebhookDelivery]
):
    """The deliveries of one endpoint."""

    scopes = {"GET": WEBHOOKS_READ, "POST": WEBHOOKS_WRITE}
    queryset = WebhookDelivery.objects.all()
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return super().get_queryset().filter(endpoint_id=self._endpoint_id())

    @extend_schema(operation_id="webhook_endpoints_deliveries_list")
    def list(self, request: Request, endpoint_id: str) -> Response:
        """List deliveries, newest first. They are kept for 30 days, and as long as they are pending."""
        endpoints = WebhookEndpoint.objects.filter(account_id=get_principal(request).account_id)
        require_id(endpoints, endpoint_id)
        return super().list(request)

    @extend_schema(
        operation_id="webhook_endpoints_deliveries_replay",
        request=None,
        responses={202: DeliverySerializer},
    )
    def replay(self, request: Request, endpoint_id: str, pk: str) -> Response:
        """Send it again, with the same `webhook-id`. A pending delivery is attempted now."""
        id = self.require_id(pk)
        reject_body(request)
        principal = get_principal(request)
        services.delivery_replay(
            account_id=principal.account_id,
            endpoint_id=self._endpoint_id(),
            id=id,
            actor=principal.actor,
        )
        return Response(DeliverySerializer(self.get_row(id)).data, status=202)

    def _endpoint_id(self) -> uuid.UUID:
        return parse_path_id(self.kwargs["endpoint_id"])
