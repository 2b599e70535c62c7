from django.urls import path
from rest_framework.routers import SimpleRouter

from webhooks.views import WebhookDeliveryViewSet, WebhookEndpointViewSet

router = SimpleRouter(trailing_slash=False)
router.register("webhook-endpoints", WebhookEndpointViewSet, basename="webhook-endpoint")
_DELIVERIES = "webhook-endpoints/<str:endpoint_id>/deliveries"
urlpatterns = [
    *router.urls,
    path(_DELIVERIES, WebhookDeliveryViewSet.as_view({"get": "list"})),
    path(f"{_DELIVERIES}/<str:pk>/replay", WebhookDeliveryViewSet.as_view({"post": "replay"})),
]
