"""The ways in which a connection fails, in words for users (pages) and for staff (failures)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Text = str | _StrPromise


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """The text of an error page: `title` says what happened, `advice` what to do now."""

    status: int
    title: Text
    advice: Text
    retry_after: int | None = None
    """Seconds, for programs."""


_START_AGAIN: Final = _("Go back to the page you came from and start again.")
_NEW_LINK: Final = _("Ask the company that sent you here for a new link.")
_TELL_COMPANY: Final = _("Please tell the company that sent you here. They need to fix this.")

ERROR_MESSAGES: Final[dict[str, ErrorMessage]] = {
    "bad_request": ErrorMessage(400, _("This link is not complete"), _TELL_COMPANY),
    "unknown_app": ErrorMessage(400, _("This link is not valid"), _TELL_COMPANY),
    "redirect_refused": ErrorMessage(
        400, _("This link leads to an unknown address"), _TELL_COMPANY
    ),
    "form_stale": ErrorMessage(
        403,
        _("This page was open for too long"),
        _("Open the link again and fill in the form once more."),
    ),
    "cookies_off": ErrorMessage(
        400,
        _("Your browser blocks cookies for this page"),
        _("Allow cookies for this site, then open the link again."),
    ),
    "state_unknown": ErrorMessage(400, _("We do not know this request"), _START_AGAIN),
    "state_used": ErrorMessage(400, _("This step is already done"), _START_AGAIN),
    "state_expired": ErrorMessage(400, _("This took too long"), _START_AGAIN),
    "other_browser": ErrorMessage(
        403,
        _("This was started in another browser"),
        _("Please finish in the browser where you started."),
    ),
    "wrong_callback": ErrorMessage(400, _("The response came to the wrong address"), _START_AGAIN),
    "wrong_issuer": ErrorMessage(
        400, _("The response did not come from the service"), _START_AGAIN
    ),
    "access_denied": ErrorMessage(
        400,
        _("You did not give access"),
        _("Nothing was connected. If this was a mistake, start again."),
    ),
    "provider_refused": ErrorMessage(400, _("The service did not give access"), _START_AGAIN),
    "app_rejected": ErrorMessage(
        400, _("The service does not accept the company's app"), _TELL_COMPANY
    ),
    "provider_unavailable": ErrorMessage(
        503, _("The service is not responding"), _("Wait a minute, then start again.")
    ),
    "too_many": ErrorMessage(
        429,
        _("Too many people are connecting right now"),
        _("Wait a minute, then start again."),
        retry_after=60,
    ),
    "account_unverified": ErrorMessage(
        400,
        _("The service does not confirm that this is your account"),
        _("Nothing was connected. Start again, and do not change the address in your browser."),
    ),
    "answer_incomplete": ErrorMessage(
        400, _("The service did not say which account this is"), _TELL_COMPANY
    ),
    "account_mismatch": ErrorMessage(
        400,
        _("This is a different account"),
        _(
            "Nothing was connected. Log out at the service, then start again with the account that"
            " was connected before."
        ),
    ),
    "start_used": ErrorMessage(400, _("This link was already used"), _START_AGAIN),
    "start_expired": ErrorMessage(400, _("This link has expired"), _START_AGAIN),
    "link_unknown": ErrorMessage(404, _("This link does not exist"), _NEW_LINK),
    "link_taken": ErrorMessage(
        403,
        _("This link was opened in another browser"),
        _("Continue in the browser where you opened it first, or ask for a new link."),
    ),
    "link_expired": ErrorMessage(410, _("This link has expired"), _NEW_LINK),
    "link_cancelled": ErrorMessage(410, _("This connection was cancelled"), _NEW_LINK),
    "link_used": ErrorMessage(410, _("This link was already used"), _NEW_LINK),
}

_FAILURE_DETAILS: Final = {
    "access_denied": "The user did not give access.",
    "account_mismatch": "The user connected a different upstream account than the credential's.",
    "account_unverified": "The provider rejected the new grant for the account in the callback.",
    "answer_incomplete": "The provider's response does not say which account was connected.",
    "interrupted": "The server stopped before it had the provider's response.",
    "not_completed": "The company did not complete the connection in time; the grant was revoked.",
    "not_exchanged": "The code was not exchanged in time; the grant was revoked.",
    "other_browser": "The response came in another browser than the one that started.",
    "provider_refused": "The provider rejected the code.",
    "redirect_refused": "The address to return to is no longer registered.",
    "replayed": "The code was used twice; the grant was revoked.",
    "state_expired": "The user did not come back within ten minutes.",
    "wrong_callback": "The response came to the redirect URI of another app.",
    "wrong_issuer": "The iss of the response is not the provider's issuer.",
}


def get_failure_detail(code: str) -> str:
    """Return the sentence about a failure for staff and the API."""
    return _FAILURE_DETAILS.get(code, code.replace("_", " ").capitalize() + ".")


class ConnectError(Exception):
    """The end of a flow, shown as a page. `detail` never contains anything that was sent to us.

    `return_url` is a validated address at the company, and `retry_url` a page of ours to try again;
    either may be "".
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = ERROR_MESSAGES[code]
        self.detail = detail
        self.return_url = ""
        self.retry_url = ""
