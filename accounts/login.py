"""Login of staff over the API: password, second factor if the user has one, lock-out by django-axes."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, cast

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

from accounts.models import Account
from accounts.second_factor import explain_rejected_code
from common.errors import BadRequestError, TooManyRequestsError, UnauthenticatedError


class LoginMessages(NamedTuple):
    """The messages for a wrong password and for a wrong code."""

    password: str
    code: str


_LOGIN: Final = LoginMessages("The username or password is wrong.", "The one-time code is wrong.")
_PASSWORD: Final = LoginMessages("The password is wrong.", "")
_BOTH: Final = LoginMessages(*["The password or the code is wrong."] * 2)


def authenticate_staff(
    request: HttpRequest,
    *,
    username: str,
    password: str,
    otp: str | None,
    messages: LoginMessages = _LOGIN,
) -> User:
    """Return the staff user with this password and, if a device is set up, this one-time code.

    Raises TooManyRequestsError (429) after 5 failures of the pair of user and address in 60 s, and
    for an address that tries many passwords; ServiceUnavailableError (503) if too many others are
    being checked; UnauthenticatedError otherwise: with "otp required" if only the code is missing.
    """
    user = _authenticate(request, username, password)
    if user is None or not user.is_staff:
        _reject_locked(request, username)
        raise UnauthenticatedError(messages.password)
    if user_has_device(user):
        if otp is None:
            raise UnauthenticatedError("otp required")
        if match_token(user, otp) is None:
            # A guessed code counts like a guessed password.
            user_login_failed.send(
                sender=__name__, credentials={"username": user.username}, request=request
            )
            _reject_locked(request, user.username)
            raise UnauthenticatedError(explain_rejected_code(user, messages.code))
    AxesProxyHandler.reset_attempts(username=username, ip_address=request.client_ip)  # type: ignore[attr-defined]
    return user


def reauthenticate(request: HttpRequest, *, password: str, otp: str | None) -> None:
    """Check the password and code of the user who is logged in. Raises as `authenticate_staff`."""
    user: Any = request.user
    messages = _BOTH if user_has_device(user) else _PASSWORD
    authenticate_staff(
        request, username=user.get_username(), password=password, otp=otp, messages=messages
    )


def verify_password(request: HttpRequest, password: str) -> None:
    """Check the password of the user who is logged in, without a code.

    Failures count like those of a login. Raises as `authenticate_staff`.
    """
    username = cast(User, request.user).get_username()
    if _authenticate(request, username, password) is None:
        _reject_locked(request, username)
        raise UnauthenticatedError(_PASSWORD.password)


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
