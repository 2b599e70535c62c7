from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin
from django.contrib.auth.models import User
from django.db import models


class Client(models.Model, ClientMixin):
    client_id = models.CharField(max_length=100, unique=True)
    client_secret = models.CharField(max_length=100)
    redirect_uris = models.TextField()

    def __str__(self) -> str:
        return self.client_id

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris.split()[0]

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(name for name in (scope or "").split() if name in {"read", "write"})

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris.split()

    def check_client_secret(self, client_secret: str) -> bool:
        return self.client_secret == client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in {"client_secret_post", "client_secret_basic"}

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class Code(models.Model, AuthorizationCodeMixin):
    code = models.CharField(max_length=120, unique=True)
    client_id = models.CharField(max_length=100)
    redirect_uri = models.TextField()
    scope = models.TextField()
    user = models.ForeignKey(User, models.CASCADE)

    def __str__(self) -> str:
        return self.code

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class Token(models.Model, TokenMixin):
    client_id = models.CharField(max_length=100)
    user = models.ForeignKey(User, models.CASCADE)
    token_type = models.CharField(max_length=40)
    access_token = models.CharField(max_length=255, unique=True)
    refresh_token = models.CharField(max_length=255)
    scope = models.TextField(default="")
    expires_in = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.access_token

    def check_client(self, client: Any) -> bool:
        return bool(self.client_id == client.client_id)
