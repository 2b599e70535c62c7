from django.urls import path

from credentials.connect import views

_LINKS = views.ConnectLinkViewSet

# These must come before the URLs of credentials, which would read `start-auth` as an id.
urlpatterns = [
    path("credentials/start-auth", views.StartAuthView.as_view()),
    path("connect-links", _LINKS.as_view({"get": "list", "post": "create"})),
    path("connect-links/<str:pk>", _LINKS.as_view({"get": "retrieve", "delete": "destroy"})),
    path("connect-links/<str:pk>/complete", _LINKS.as_view({"post": "complete"})),
    path("connect-settings", views.AccountSettingsView.as_view()),
    path("oauth-apps/<str:pk>/connect-settings", views.AppSettingsView.as_view()),
]
