from rest_framework.routers import SimpleRouter

from oauth_apps.views import OAuthAppViewSet

router = SimpleRouter(trailing_slash=False)
router.register("oauth-apps", OAuthAppViewSet, basename="oauth-app")
urlpatterns = router.urls
