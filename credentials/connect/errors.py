"""Why a connection did not come about, in words for the person in front of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Text = str | _StrPromise


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """`title` says what happened, `advice` what to do now."""

    status: int
    title: Text
    advice: Text
    retry_after: int | None = None
    """Seconds, for programs."""


_START_AGAIN: Final = _("Go back to where you came from and start again.")
_ASK: Final = _("Ask whoever sent you here for a new link.")
_COMPANY: Final = _("Tell the company that sent you here; it has to put this right.")

ERROR_MESSAGES: Final[dict[str, ErrorMessage]] = {
    "bad_request": ErrorMessage(400, _("This address is not complete"), _COMPANY),
    "unknown_app": ErrorMessage(400, _("This address is not known"), _COMPANY),
    "redirect_refused": ErrorMessage(400, _("This address leads to an unknown place"), _COMPANY),
    "form_stale": ErrorMessage(
        403, _("This page was open for too long"), _("Open the link again, and send the form anew.")
    ),
    "cookies_off": ErrorMessage(
        400,
        _("Your browser keeps no cookies for this page"),
        _("Allow cookies for this site, then open the link again."),
    ),
    "state_unknown": ErrorMessage(
        400, _("This answer belongs to no request of ours"), _START_AGAIN
    ),
    "state_used": ErrorMessage(400, _("This step was done already"), _START_AGAIN),
    "state_expired": ErrorMessage(400, _("This took too long"), _START_AGAIN),
    "other_browser": ErrorMessage(
        403, _("This was started in another browser"), _("Finish in the browser where you began.")
    ),
    "wrong_callback": ErrorMessage(400, _("This answer came to the wrong address"), _START_AGAIN),
    "wrong_issuer": ErrorMessage(400, _("This answer came from somebody else"), _START_AGAIN),
    "access_denied": ErrorMessage(
        400,
        _("You did not give access"),
        _("Nothing was connected. If that was not what you wanted, start again."),
    ),
    "provider_refused": ErrorMessage(400, _("The service did not give access"), _START_AGAIN),
    "app_rejected": ErrorMessage(400, _("The service does not accept the company's app"), _COMPANY),
    "provider_unavailable": ErrorMessage(
        503, _("The service does not answer"), _("Wait a minute and start again.")
    ),
    "too_many": ErrorMessage(
        429,
        _("Too many people are connecting at once"),
        _("Wait a minute and start again."),
        retry_after=60,
    ),
    "account_unverified": ErrorMessage(
        400,
        _("The service does not confirm that this is your account"),
        _("Nothing was connected. Start again, and change nothing in the address on the way."),
    ),
    "answer_incomplete": ErrorMessage(
        400, _("The service did not say which account this is"), _COMPANY
    ),
    "account_mismatch": ErrorMessage(
        400,
        _("This is another account"),
        _(
            "Nothing was connected. Log out at the service, then start again with the account that"
            " was connected before."
        ),
    ),
    "start_used": ErrorMessage(400, _("This link was used already"), _START_AGAIN),
    "start_expired": ErrorMessage(400, _("This link has expired"), _START_AGAIN),
    "link_unknown": ErrorMessage(404, _("There is no such link"), _ASK),
    "link_taken": ErrorMessage(
        403,
        _("This link was opened in another browser"),
        _("Go on in the browser where it was opened first, or ask for a new link."),
    ),
    "link_expired": ErrorMessage(410, _("This link has expired"), _ASK),
    "link_cancelled": ErrorMessage(410, _("This was cancelled"), _ASK),
    "link_used": ErrorMessage(410, _("This link was used already"), _ASK),
}

_SENTENCES: Final = {
    "access_denied": "The user did not give access.",
    "account_mismatch": "The user connected another upstream account than the credential's.",
    "account_unverified": "The provider refused the new grant for the account that the callback named.",
    "answer_incomplete": "The provider's answer does not say which account was connected.",
    "interrupted": "The server stopped before it had the provider's answer.",
    "not_completed": "The connection was not completed by the company in time; it was revoked.",
    "not_exchanged": "The code was not exchanged in time; the grant was revoked.",
    "other_browser": "The answer came in another browser than the one that began.",
    "provider_refused": "The provider refused the code.",
    "redirect_refused": "The address to return to was withdrawn meanwhile.",
    "replayed": "The code came twice; the grant was revoked.",
    "state_expired": "The user did not come back within ten minutes.",
    "wrong_callback": "The answer came to the redirect URI of another app.",
    "wrong_issuer": "The answer's iss is not the provider's issuer.",
}


def get_failure_detail(code: str) -> str:
    """What staff and the API are told of a failure."""
    return _SENTENCES.get(code, code.replace("_", " ").capitalize() + ".")


class ConnectError(Exception):
    """A flow ends here, with a page. `detail` is a sentence of ours, without anything that was sent.

    `back` is where the person may go on to, an address that was checked, and `again` where to try
    once more; or "".
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = ERROR_MESSAGES[code]
        self.detail = detail
        self.return_url = ""
        self.retry_url = ""
