"""One shape for every refusal on an API path: RFC 9457, and what the documented API calls its parts."""

from __future__ import annotations

import http
import sys
from typing import Any

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

API_PATHS = ("/v1/", "/api/", "/link/oauth2/token")


def is_api(path: str) -> bool:
    return path.startswith(API_PATHS) or path in {"/v1", "/api"}


def build_error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer for whatever was raised, 500 included."""
    return build_problem_response(request, _status_and_problem(error))


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. Whatever a view raises leaves as a problem document, 500 included."""
    request = context["request"]._request
    found = build_error_response(request, error)
    response = Response(status=found.status_code)
    response.data = orjson.Fragment(found.content)
    response.content_type = found.headers["Content-Type"]
    for name, value in found.headers.items():
        response[name] = value
    return response


def build_problem_response(request: HttpRequest, found: tuple[int, ServiceError]) -> HttpResponse:
    """The answer for one problem, in the shape of the path's API."""
    status, problem = found
    if request.path.startswith("/api"):
        document, kind = _plain(problem), "application/json"
        # That API has no 422.
        status = http.HTTPStatus.BAD_REQUEST if isinstance(problem, InvalidInputError) else status
    else:
        document, kind = _document(request, status, problem), "application/problem+json"
    response = HttpResponse(orjson.dumps(document), status=status, content_type=kind)
    response["Cache-Control"] = "no-store"
    if status == http.HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="latchkey"'
    if problem.retry_after is not None:
        response["Retry-After"] = str(problem.retry_after)
    return response


def _document(request: HttpRequest, status: int, problem: ServiceError) -> dict[str, Any]:
    title = http.HTTPStatus(status).phrase if type(problem) is ServiceError else problem.title
    document = {
        **problem.extra,
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": problem.detail,
        "summary": problem.detail,
        "request_id": getattr(request, "request_id", None),
    }
    if problem.fields or status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
        document["validation_errors"] = problem.fields
    return document


def _plain(problem: ServiceError) -> dict[str, Any]:
    document: dict[str, Any] = {"error": problem.detail}
    if problem.retry_after is not None:
        document["retry_after_seconds"] = problem.retry_after
    return document


def _status_and_problem(error: Exception) -> tuple[int, ServiceError]:
    if isinstance(error, ServiceError):
        return error.status, error
    if isinstance(error, APIException):
        return error.status_code, _of_framework(error)
    for kinds, problem in _OTHERS:
        if isinstance(error, kinds):
            if isinstance(problem, ServiceUnavailableError | ConflictError):
                logger.warning("refused", problem=problem.title, cause=type(error).__name__)
            return problem.status, problem
    # The exception's text may hold what was sent, so its kind and place are logged, not its words.
    logger.error("unexpected", cause=type(error).__name__, place=_place(error))
    return 500, ServiceError("Something went wrong here. It has been logged under the request id.")


_OTHERS: list[tuple[tuple[type[Exception], ...], ServiceError]] = [
    ((Http404,), NotFoundError()),
    ((PermissionDenied,), ForbiddenError("This is not allowed.")),
    ((RequestDataTooBig,), ContentTooLargeError("The body is too large.")),
    ((SuspiciousOperation,), BadRequestError("The request is not well-formed.")),
    ((DataError,), BadRequestError("A value cannot be stored.")),
    ((IntegrityError,), ConflictError("Another change came first. Read again and retry.")),
    (
        (OperationalError, InterfaceError),
        ServiceUnavailableError("The database does not answer. Try again shortly.", retry_after=2),
    ),
]


def _of_framework(error: APIException) -> ServiceError:
    return ServiceError(str(error.detail))


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request.path):
        return build_problem_response(
            request, (400, BadRequestError("The request is not well-formed."))
        )
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request.path):
        return build_problem_response(request, (403, ForbiddenError("This is not allowed.")))
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request.path):
        return build_problem_response(request, (404, NotFoundError()))
    return defaults.page_not_found(request, exception)


@csrf_exempt
def api_not_found(request: HttpRequest) -> HttpResponse:
    return build_problem_response(request, (404, NotFoundError()))


def server_error(request: HttpRequest) -> HttpResponse:
    error = sys.exc_info()[1]
    found = _status_and_problem(error if isinstance(error, Exception) else RuntimeError())
    if is_api(request.path):
        return build_problem_response(request, found)
    status, problem = found
    if not isinstance(problem, ServiceUnavailableError):
        return defaults.server_error(request)
    page = HttpResponse(render_to_string("503.html", {"detail": problem.detail}), status=status)
    page["Retry-After"] = str(problem.retry_after)
    return page
