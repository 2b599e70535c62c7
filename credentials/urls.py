from django.urls import path
from rest_framework.routers import SimpleRouter

from credentials.import_view import ImportView
from credentials.views import CredentialViewSet

router = SimpleRouter(trailing_slash=False)
router.register("credentials", CredentialViewSet, basename="credential")
urlpatterns = [path("credentials/import", ImportView.as_view()), *router.urls]
