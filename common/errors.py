"""The errors that services raise. The API, the admin and the commands each display them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ServiceError(Exception):
    """An error that the caller can act on: an HTTP status, a sentence, and reasons per field.

    `fields` maps a field's name to its reasons. `extra` holds further members of the problem
    document (RFC 9457 §3.2). `retry_after` is in seconds.

    Neither `fields` nor `detail` may contain a value that the caller sent in a secret field.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(
        self,
        detail: str,
        *,
        fields: Mapping[str, list[str]] | None = None,
        extra: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = dict(fields or {})
        self.extra = dict(extra or {})
        self.retry_after = retry_after

    @classmethod
    def for_field(cls, field: str, reason: str) -> ServiceError:
        """Return the error of one field. Its sentence names the field, so that it can stand alone."""
        return cls(f"{field}: {reason}", fields={field: [reason]})


class BadRequestError(ServiceError):
    """400: the request cannot be parsed, or a query parameter or header is invalid."""


class UnauthenticatedError(ServiceError):
    status = 401
    title = "Unauthorized"


class ForbiddenError(ServiceError):
    status = 403
    title = "Forbidden"


class NotFoundError(ServiceError):
    """404: the object does not exist, or belongs to another account. The response is the same."""

    status = 404
    title = "Not found"

    def __init__(self, detail: str = "There is nothing at this address.", **options: Any) -> None:
        super().__init__(detail, **options)


class ConflictError(ServiceError):
    status = 409
    title = "Conflict"


class LengthRequiredError(ServiceError):
    status = 411
    title = "Length required"


class PreconditionFailedError(ServiceError):
    status = 412
    title = "Precondition failed"


class ContentTooLargeError(ServiceError):
    status = 413
    title = "Content too large"


class UriTooLongError(ServiceError):
    status = 414
    title = "URI too long"


class UnsupportedMediaTypeError(ServiceError):
    status = 415
    title = "Unsupported media type"


class InvalidInputError(ServiceError):
    """422: the request is well-formed but invalid. `fields` names the invalid fields."""

    status = 422
    title = "Unprocessable content"

    @classmethod
    def for_fields(cls, fields: Mapping[str, list[str]]) -> InvalidInputError:
        """Return the error of several fields. Its sentence is about the first one."""
        field, reasons = next(iter(fields.items()))
        return cls(f"{field}: {reasons[0]}", fields=fields)


class TooManyRequestsError(ServiceError):
    status = 429
    title = "Too many requests"


class ServiceUnavailableError(ServiceError):
    status = 503
    title = "Service unavailable"
