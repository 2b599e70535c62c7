from rest_framework.routers import SimpleRouter

from credentials.api.fishnet.views import CredentialMetadataViewSet

router = SimpleRouter(trailing_slash=False)
router.register("credentials", CredentialMetadataViewSet, basename="credential-metadata")
urlpatterns = router.urls
