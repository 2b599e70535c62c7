"""Real authorization servers, each in its own process: `python -m … dot|authlib FOLDER`.

`dot` is django-oauth-toolkit. `authlib` is Authlib's server on Django, which, like many providers,
names no issuer in its responses and requires no PKCE. Both have the users ann and eve, a login page,
a consent page, and `/whoami`. The first line on standard output is the port.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LIBRARY, FOLDER = sys.argv[1], Path(sys.argv[2])


def configure() -> None:
    from django.conf import settings

    library = ["oauth2_provider"] if LIBRARY == "dot" else ["tests.browser.connect.authlib_app"]
    settings.configure(
        SECRET_KEY="a real server, but not a real secret",
        ALLOWED_HOSTS=["127.0.0.1"],
        DEBUG=True,
        ROOT_URLCONF=__name__,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(FOLDER / f"{LIBRARY}.sqlite3"),
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            *library,
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": ["django.template.context_processors.request"],
                },
            }
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        LOGIN_URL="/login",
        OAUTH2_PROVIDER={
            "PKCE_REQUIRED": True,
            "SCOPES": {"read": "Read", "write": "Write"},
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        },
        # For Authlib's tokens.
        AUTHLIB_OAUTH2_PROVIDER={"refresh_token_generator": True},
    )


configure()

import django  # noqa: E402

django.setup()

from django.contrib.auth import authenticate, login  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


def log_in(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        user = authenticate(request, username=request.POST["username"], password="pass")
        login(request, user)
        return HttpResponseRedirect(request.GET["next"])
    return HttpResponse(
        "<title>Log in</title><form method=post><label>User <input name=username></label>"
        f"<input type=hidden name=csrfmiddlewaretoken value={get_token(request)}>"
        "<button>Log in</button></form>"
    )


@csrf_exempt
def register(request: HttpRequest) -> HttpResponse:
    """Register a client with these redirect URIs."""
    made = json.loads(request.body)
    uris = " ".join(made["redirect_uris"])
    if LIBRARY == "dot":
        from oauth2_provider.models import Application

        Application.objects.create(
            name="Acme",
            client_id=made["client_id"],
            client_secret=made["client_secret"],
            client_type="confidential",
            authorization_grant_type="authorization-code",
            redirect_uris=uris,
        )
    else:
        from tests.browser.connect.authlib_app.models import Client

        Client.objects.create(
            client_id=made["client_id"], client_secret=made["client_secret"], redirect_uris=uris
        )
    return JsonResponse({})


def whoami(request: HttpRequest) -> HttpResponse:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    user = _owner(token)
    return JsonResponse({"id": user.username} if user else {}, status=200 if user else 401)


def live(request: HttpRequest) -> HttpResponse:
    """Return the number of access tokens."""
    if LIBRARY == "dot":
        from oauth2_provider.models import AccessToken as Token
    else:
        from tests.browser.connect.authlib_app.models import Token
    return JsonResponse({"tokens": Token.objects.count()})


def _owner(token: str) -> Any:
    if LIBRARY == "dot":
        from oauth2_provider.models import AccessToken

        rows = [row for row in AccessToken.objects.all() if row.token == token]
        return rows[0].user if rows and rows[0].is_valid() else None
    from tests.browser.connect.authlib_app.models import Token

    row = Token.objects.filter(access_token=token).first()
    return row.user if row else None


urlpatterns: list[Any] = [
    path("login", log_in),
    path("_register", register),
    path("_live", live),
    path("whoami", whoami),
]
if LIBRARY == "dot":
    from django.urls import include

    urlpatterns.append(path("", include("oauth2_provider.urls", namespace="oauth2_provider")))
else:
    from tests.browser.connect.authlib_app.server import authorize, token

    urlpatterns += [path("authorize/", authorize), path("token/", token)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *message: Any) -> None:
        pass


def main() -> None:
    call_command("migrate", verbosity=0, run_syncdb=True)
    for name in ("ann", "eve"):
        User.objects.create_user(name, password="pass")
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    print(server.server_port, flush=True)  # noqa: T201
    server.serve_forever()


main()
