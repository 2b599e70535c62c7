"""The errors that services raise. The API, the admin and the commands each show them in their own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ServiceError(Exception):
    """Something the caller can act on: an HTTP status, a sentence, and reasons per field.

    `fields` maps a field's name to its reasons. Neither it nor `detail` ever holds a value that
    the caller sent in a secret field. `extra` joins the problem document as further members.
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
        """The problem of one field: the sentence names it, so that it also reads well alone."""
        return cls(f"{field}: {reason}", fields={field: [reason]})


class BadRequestError(ServiceError):
    """400: it could not be parsed, or a query parameter or header is wrong."""


class UnauthenticatedError(ServiceError):
    status = 401
    title = "Unauthorized"


class ForbiddenError(ServiceError):
    status = 403
    title = "Forbidden"


class NotFoundError(ServiceError):
    """404: there is none, or it is another account's: the answer is the same."""

    status = 404
    title = "Not found"

    def __init__(self, detail: str = "There is nothing at this address.", **more: Any) -> None:
        super().__init__(detail, **more)


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
    """422: well-formed, but not valid; `fields` says where."""

    status = 422
    title = "Unprocessable content"

    @classmethod
    def for_fields(cls, fields: Mapping[str, list[str]]) -> InvalidInputError:
        first, reasons = next(iter(fields.items()))
        return cls(f"{first}: {reasons[0]}", fields=fields)


class TooManyRequestsError(ServiceError):
    status = 429
    title = "Too many requests"


class ServiceUnavailableError(ServiceError):
    status = 503
    title = "Service unavailable"
