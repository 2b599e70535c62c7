"""What browsers open: not under /v1, and without a token of ours."""

from django.urls import path

from credentials.connect import link_pages, pages
from credentials.connect.views import TokenView

urlpatterns = [
    path("link/oauth2/authorize", pages.authorize, name="connect-authorize"),
    path("link/oauth2/start/<str:token>", pages.start, name="connect-start"),
    path("link/oauth2/callback/<str:provider>", pages.callback, name="connect-callback-short"),
    path(
        "link/oauth2/callback/<str:provider>/<str:app_id>", pages.callback, name="connect-callback"
    ),
    path("link/oauth2/token", TokenView.as_view()),
    path("connect/<str:token>", link_pages.link, name="connect-link"),
    path("connect/<str:token>/continue", link_pages.go, name="connect-continue"),
    path("connect/<str:token>/cancel", link_pages.cancel, name="connect-cancel"),
    path("connect/<str:token>/back", link_pages.back, name="connect-back"),
]
