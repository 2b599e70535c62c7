from django.urls import include, path
from rest_framework.routers import SimpleRouter

from credentials.api.change_app_view import ChangeAppView
from credentials.api.export_view import ExportView
from credentials.api.hold_views import HoldAllView, HoldView
from credentials.api.import_view import ImportView
from credentials.api.policy_views import PolicyView
from credentials.api.refresh_views import RefreshView, TokenView
from credentials.api.reveal_view import RevealResponseView, RevealView
from credentials.api.rotate_view import RotateView
from credentials.api.views import CredentialViewSet

router = SimpleRouter(trailing_slash=False)
router.register("credentials", CredentialViewSet, basename="credential")
urlpatterns = [
    path("credentials/import", ImportView.as_view()),
    path("credentials/export", ExportView.as_view()),
    path("credentials/hold", HoldAllView.as_view()),
    path("credentials/<str:pk>/change-app", ChangeAppView.as_view()),
    path("credentials/<str:pk>/hold", HoldView.as_view()),
    path("credentials/<str:pk>/reveal", RevealView.as_view()),
    path("credentials/<str:pk>/reveal-response", RevealResponseView.as_view()),
    path("credentials/<str:pk>/rotate", RotateView.as_view()),
    path("", include("credentials.api.health_urls")),
    path("credentials/<str:pk>/policy", PolicyView.as_view()),
    path("credentials/<str:pk>/token", TokenView.as_view()),
    path("credentials/<str:pk>/refresh", RefreshView.as_view()),
    *router.urls,
]
