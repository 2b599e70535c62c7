from __future__ import annotations

from typing import Any

from authlib.integrations.django_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt

from tests.browser.connect.authlib_app.models import Client, Code, Token

server = AuthorizationServer(Client, Token)


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        payload = request.payload
        Code.objects.create(
            code=code,
            client_id=request.client.client_id,
            redirect_uri=payload.redirect_uri or "",
            scope=payload.scope or "",
            user=request.user,
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        row: Code | None = Code.objects.filter(code=code, client_id=client.client_id).first()
        return row

    def delete_authorization_code(self, authorization_code: Code) -> None:
        authorization_code.delete()

    def authenticate_user(self, authorization_code: Code) -> Any:
        return authorization_code.user


server.register_grant(CodeGrant)


@login_required
def authorize(request: HttpRequest) -> HttpResponse:
    user: Any = None
    if request.method == "POST":
        user = request.user if "allow" in request.POST else None
        response: HttpResponse = server.create_authorization_response(request, grant_user=user)
        return response
    return HttpResponse(
        "<title>Authorize</title><form method=post>"
        f"<input type=hidden name=csrfmiddlewaretoken value={get_token(request)}>"
        "<input type=submit value=Cancel><input type=submit name=allow value=Authorize></form>"
    )


@csrf_exempt
def token(request: HttpRequest) -> HttpResponse:
    response: HttpResponse = server.create_token_response(request)
    return response
