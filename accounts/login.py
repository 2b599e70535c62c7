"""Login of staff over the API: password, second factor if the user has one, lock-out by django-axes."""

from __future__ import annotations

import math
from typing import Any, Final

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db.models import Max
from django.http import HttpRequest
from django.utils import timezone
from django_otp import match_token, user_has_device
from django_otp.models import Device

from accounts.models import Account
from accounts.second_factor import explain_rejected_code
from common.errors import BadRequestError, TooManyRequestsError, UnauthenticatedError

LOGIN_ERROR: Final = (
    "The username, the password or the one-time code is wrong. A user with a device needs a code."
)
"""One message for all: a guessed password must not show that only the code is wrong."""

_PASSWORD_ERROR: Final = "The password is wrong."  # noqa: S105 - a message
_BOTH_ERROR: Final = "The password or the code is wrong."


def authenticate_staff(
    request: HttpRequest,
    *,
    username: str,
    password: str,
    otp: str | None,
    message: str = LOGIN_ERROR,
) -> User:
    """Return the staff user with this password and, if a device is set up, this one-time code.

    Raises TooManyRequestsError (429) after 5 failures of the pair of user and address in 60 s, and
    for an address that tries many passwords; ServiceUnavailableError (503) if too many others are
    being checked; UnauthenticatedError with the same `message` otherwise, also for a missing code.
    """
    user = _authenticate(request, username, password)
    if user is None or not user.is_staff:
        _reject_locked(request, username)
        raise UnauthenticatedError(message)
    if user_has_device(user) and not verify_code(request, user, otp):
        _reject_locked(request, user.username)
        raise UnauthenticatedError(explain_rejected_code(user, message))
    AxesProxyHandler.reset_attempts(username=username, ip_address=request.client_ip)  # type: ignore[attr-defined]
    return user


def reauthenticate(request: HttpRequest, *, password: str, otp: str | None) -> None:
    """Check the password and code of the user who is logged in. Raises as `authenticate_staff`."""
    user: Any = request.user
    message = _BOTH_ERROR if user_has_device(user) else _PASSWORD_ERROR
    authenticate_staff(
        request, username=user.get_username(), password=password, otp=otp, message=message
    )


def verify_code(request: HttpRequest | None, user: User, otp: str | None) -> Device | None:
    """Return the device that accepts the code, or None. A failure counts like a wrong password."""
    device: Device | None = match_token(user, otp) if otp else None
    if device is None:
        credentials = {"username": user.get_username()}
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    return device


def resolve_account(slug: str | None) -> Account:
    """Return the account for a session. `slug` may be None if there is only one account."""
    if slug is not None:
        account = Account.objects.filter(slug=slug).first()
        if account is None:
            raise BadRequestError("There is no such account.")
        return account
    accounts = list(Account.objects.all()[:2])
    if len(accounts) != 1:
        raise BadRequestError("account is required: the slug of the account to work in.")
    return accounts[0]


def _authenticate(request: HttpRequest, username: str, password: str) -> User | None:
    _reject_locked(request, username)
    user = authenticate(request, username=username, password=password)
    return user if isinstance(user, User) else None


def _reject_locked(request: HttpRequest, username: str) -> None:
    """Raise TooManyRequestsError if the pair of user and address is locked out."""
    if AxesProxyHandler.is_allowed(request, {"username": username}):
        return
    attempts = AccessAttempt.objects.filter(
        username=username,
        ip_address=request.client_ip,  # type: ignore[attr-defined]
    )
    last = attempts.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    remaining = settings.AXES_COOLOFF_TIME - (timezone.now() - last)
    seconds = max(1, math.ceil(remaining.total_seconds()))
    raise TooManyRequestsError("Too many failures. Wait, then try again.", retry_after=seconds)
