"""The bare Django view: the floor's statements in a function, under the product's own middleware."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.django_settings")

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench import page


def credentials(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(page.TOKEN, [page.digest(request.headers.get("Authorization", ""))])
        token = cursor.fetchone()
        if token is None:
            return HttpResponse(status=401)
        cursor.execute(page.PAGE, [token[1]])
        body = page.build_list(token[1], cursor.fetchall())
    return HttpResponse(body, content_type="application/json")


urlpatterns = [path(page.PATH.removeprefix("/"), credentials)]
application = get_wsgi_application()
