"""Error responses of API paths: RFC 9457 problem documents, and the pages' error handlers."""

from __future__ import annotations

import http
import sys
from typing import Any, Final

import orjson
import structlog
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from common.errors import (
    BadRequestError,
    ConflictError,
    ContentTooLargeError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ServiceError,
    ServiceUnavailableError,
)

logger = structlog.get_logger(__name__)

_PROXY_PREFIXES: Final = ("/v1/proxy/", "/proxy/")


def build_error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the response for any exception, 500 included."""
    return build_problem_response(request, *_get_status_and_error(error))


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn any exception of a view into a problem document. This is DRF's hook."""
    problem = build_error_response(context["request"]._request, error)
    response = Response(status=problem.status_code)
    response.data = orjson.Fragment(problem.content)
    response.content_type = problem.headers["Content-Type"]
    for name, value in problem.headers.items():
        response[name] = value
    return response


def build_problem_response(request: HttpRequest, status: int, error: ServiceError) -> HttpResponse:
    """Return the response for one error, in the shape of the path's API."""
    # Errors of the metadata API have a shape of their own.
    if request.path.startswith("/api"):
        document: dict[str, Any] = {"error": error.detail}
        if error.retry_after is not None:
            document["retry_after_seconds"] = error.retry_after
        content_type = "application/json"
        # That API has no 422.
        status = http.HTTPStatus.BAD_REQUEST if isinstance(error, InvalidInputError) else status
    else:
        content_type = "application/problem+json"
        document = {
            **error.extra,
            "type": "about:blank",
            "title": error.title,
            "status": status,
            "detail": error.detail,
            "summary": error.detail,
            "request_id": getattr(request, "request_id", None),
        }
        if type(error) is ServiceError:
            document["title"] = http.HTTPStatus(status).phrase
        if error.fields or status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
            document["validation_errors"] = error.fields
    response = HttpResponse(orjson.dumps(document), status=status, content_type=content_type)
    response["Cache-Control"] = "no-store"
    if status == http.HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="latchkey"'
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _get_status_and_error(error: Exception) -> tuple[int, ServiceError]:
    if isinstance(error, ServiceError):
        return error.status, error
    if isinstance(error, APIException):
        return error.status_code, ServiceError(str(error.detail))
    for classes, problem in _FRAMEWORK_ERRORS:
        if isinstance(error, classes):
            if isinstance(problem, ServiceUnavailableError | ConflictError):
                logger.warning("refused", problem=problem.title, cause=type(error).__name__)
            return problem.status, problem
    # The exception's text may contain what was sent, so only its type and place are logged.
    trace, place = error.__traceback__, "unknown"
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    logger.error("unexpected", cause=type(error).__name__, place=place)
    return 500, ServiceError("Something went wrong here. It has been logged under the request id.")


_FRAMEWORK_ERRORS: list[tuple[tuple[type[Exception], ...], ServiceError]] = [
    ((Http404,), NotFoundError()),
    ((PermissionDenied,), ForbiddenError("This is not allowed.")),
    ((RequestDataTooBig,), ContentTooLargeError("The body is too large.")),
    ((SuspiciousOperation,), BadRequestError("The request is not well-formed.")),
    ((DataError,), BadRequestError("A value cannot be stored.")),
    ((IntegrityError,), ConflictError("Another change came first. Read again and retry.")),
    (
        (OperationalError, InterfaceError),
        ServiceUnavailableError("The database is unavailable. Try again shortly.", retry_after=2),
    ),
]


def _is_api(request: HttpRequest) -> bool:
    # Missing if a middleware raised before RequestContextMiddleware ran.
    return getattr(request, "is_api", False)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Respond with 400. This is Django's handler400."""
    if _is_api(request):
        error = BadRequestError("The request is not well-formed.")
        return build_problem_response(request, error.status, error)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Respond with 403. This is Django's handler403."""
    if _is_api(request):
        error = ForbiddenError("This is not allowed.")
        return build_problem_response(request, error.status, error)
    return defaults.permission_denied(request, exception)


def respond_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Respond with 404. This is Django's handler404."""
    if _is_api(request):
        return respond_api_not_found(request)
    return defaults.page_not_found(request, exception)


@csrf_exempt
def respond_api_not_found(request: HttpRequest) -> HttpResponse:
    """Respond with 404 to an API path that no URL pattern matches."""
    error = NotFoundError()
    if request.path.startswith(_PROXY_PREFIXES):
        error = NotFoundError(
            "This is the server of the API. The proxy is a server of its own (manage.py serve_proxy, port"
            " 8001 unless it is set): send the request there, or route /v1/proxy/ and /proxy/ to it."
        )
    return build_problem_response(request, error.status, error)


def server_error(request: HttpRequest) -> HttpResponse:
    """Respond with 500, or with 503 if the database is down. This is Django's handler500."""
    cause = sys.exc_info()[1]
    status, error = _get_status_and_error(cause if isinstance(cause, Exception) else RuntimeError())
    if _is_api(request):
        return build_problem_response(request, status, error)
    if not isinstance(error, ServiceUnavailableError):
        return defaults.server_error(request)
    return build_retry_page(error)


def build_retry_page(error: ServiceError) -> HttpResponse:
    """Return the page of an error that says when to try again."""
    page = HttpResponse(render_to_string("503.html", {"detail": error.detail}), status=error.status)
    page["Retry-After"] = str(error.retry_after)
    page["Cache-Control"] = "no-store"
    return page
