"""URLs that browsers open: not under /v1, and without one of our tokens."""

from django.urls import path

from credentials.connect import callback_views, link_views, oauth_views
from credentials.connect.views import TokenView

urlpatterns = [
    path("link/oauth2/authorize", oauth_views.authorize, name="connect-authorize"),
    path("link/oauth2/start/<str:token>", oauth_views.start, name="connect-start"),
    path(
        "link/oauth2/callback/<str:provider>",
        callback_views.callback,
        name="connect-callback-short",
    ),
    path(
        "link/oauth2/callback/<str:provider>/<str:app_id>",
        callback_views.callback,
        name="connect-callback",
    ),
    path("link/oauth2/token", TokenView.as_view()),
    path("connect/<str:token>", link_views.show_link, name="connect-link"),
    path("connect/<str:token>/continue", link_views.continue_to_provider, name="connect-continue"),
    path("connect/<str:token>/cancel", link_views.cancel_link, name="connect-cancel"),
    path("connect/<str:token>/back", link_views.show_result, name="connect-back"),
]
