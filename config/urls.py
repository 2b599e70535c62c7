from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from config import health_endpoints
from config.api import docs, errors
from config.metrics import metrics

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.respond_not_found
handler500 = errors.server_error

v1 = [
    path("", include("credentials.connect.urls")),
    path("", include("credentials.urls")),
    path("", include("oauth_apps.urls")),
    path("", include("webhooks.urls")),
    path("", include("events.urls")),
    path("", include("providers.urls")),
]
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("v1/", include(v1)),
    path("api/", include("accounts.urls")),
    path("api/", include("credentials.api.fishnet.urls")),
    path("", include("credentials.connect.page_urls")),
    path("openapi.json", docs.SchemaView.as_view(), name="schema"),
    path("docs", docs.DocsView.as_view(), name="docs"),
    path("admin/", admin.site.urls),
    path("healthz", health_endpoints.healthz),
    path("readyz", health_endpoints.readyz),
    path("metrics", metrics),
    # With DEBUG, Django's own page for an unknown path would be HTML.
    re_path(r"^(?:v1|api|proxy|link/oauth2/token)(?:/|$)", errors.respond_api_not_found),
]
