"""Sessions of staff in the API (docs/compatibility.md)."""

from __future__ import annotations

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import login, services
from accounts.authentication import BearerAuthentication
from accounts.serializers import (
    LoginSerializer,
    SessionSerializer,
    StatusSerializer,
    SuccessSerializer,
)
from common.api.views import ApiView, read_object, reject_body
from common.datetimes import format_rfc3339
from common.errors import ServiceError
from common.http import build_actor, get_principal
from common.scopes import ANY, PUBLIC


class LoginView(ApiView):
    """Opens a session of 4 hours for a staff member, bound to one account."""

    scopes = {"POST": PUBLIC}
    authentication_classes = []

    @extend_schema(request=LoginSerializer, responses=SessionSerializer)
    def post(self, request: Request) -> Response:
        credentials = LoginSerializer(data=read_object(request)).validate_data()
        http = request._request
        user = login.authenticate_staff(
            http,
            username=credentials["username"],
            password=credentials["password"],
            otp=credentials.get("otp"),
        )
        account = login.resolve_account(credentials.get("account"))
        actor = build_actor(http, f"user:{user.pk}")
        session, token = services.session_open(user=user, account_id=account.id, actor=actor)
        return Response({"token": token, "expires_at": format_rfc3339(session.expires_at)})


class LogoutView(ApiView):
    """Ends the session that the request was made with, at once."""

    scopes = {"POST": ANY}

    @extend_schema(request=None, responses=SuccessSerializer)
    def post(self, request: Request) -> Response:
        reject_body(request)
        principal = get_principal(request)
        if not principal.is_session:
            raise ServiceError("An API token cannot log out; revoke it in the admin.")
        services.session_close(
            session_id=principal.bearer_id,
            account_id=principal.account_id,
            actor=principal.actor,
        )
        return Response({"success": True})


class StatusView(ApiView):
    scopes = {"GET": PUBLIC}
    authentication_classes = []

    @extend_schema(responses=StatusSerializer)
    def get(self, request: Request) -> Response:
        """Report if there is a staff user who can log in, and if the sent token is valid."""
        try:
            authenticated = BearerAuthentication().authenticate(request) is not None
        except ServiceError:
            authenticated = False
        initialized = User.objects.filter(is_staff=True, is_active=True).exists()
        return Response({"initialized": initialized, "authenticated": authenticated})
