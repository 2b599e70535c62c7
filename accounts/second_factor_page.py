"""The page on which staff set up their own second factor.

Keys and codes are displayed once: they are in no URL, message or session.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django_otp import DEVICE_ID_SESSION_KEY, login, user_has_device

from accounts.login import reauthenticate
from accounts.second_factor import (
    CONFIRMATION_PERIOD,
    RECOVERY_CODE_COUNT,
    count_recovery_codes,
    has_second_factor,
    recovery_codes_renew,
    second_factor_confirm,
    second_factor_offer,
    second_factor_remove,
)
from common.admin.forms import CodeInput
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError


def _build_code_field(label: str) -> forms.CharField:
    return forms.CharField(label=label, max_length=32, widget=CodeInput())


class ProofForm(forms.Form):
    """Password and code of the user who is logged in: an unlocked screen is not enough."""

    password = forms.CharField(
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    otp = _build_code_field("One-time or recovery code")

    def __init__(self, user: object, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not user_has_device(user):
            del self.fields["otp"]


class ConfirmForm(forms.Form):
    code = _build_code_field("The code that your app shows now")


def get_second_factor_urls(site: AdminSite) -> list[URLPattern]:
    """Return the URL pattern of the page, which is always about the user who is logged in."""

    def view(request: HttpRequest) -> HttpResponse:
        return second_factor_view(request, site.each_context(request))

    return [path("second-factor/", site.admin_view(view), name="second_factor")]


@never_cache
@sensitive_post_parameters()
@sensitive_variables("result", "page")
def second_factor_view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Render the page, after the action that the form names in `do`."""
    action = request.POST.get("do", "") if request.method == "POST" else ""
    form: forms.Form | None = None
    result: dict[str, Any] = {}
    if action == "confirm":
        form = ConfirmForm(request.POST)
    elif action in {"offer", "codes", "remove"}:
        form = ProofForm(request.user, request.POST, auto_id=f"id_{action}_%s")
    if form is not None and form.is_valid():
        try:
            result = _ACTIONS[action](request, form)
        except ServiceError as error:
            form.add_error(None, error.detail)
    user: Any = request.user
    page = {
        **context,
        "title": "Second factor",
        "rejected": "",
        **{name: ProofForm(user, auto_id=f"id_{name}_%s") for name in ("offer", "codes", "remove")},
        "confirm": ConfirmForm(),
        "is_set_up": has_second_factor(user),
        "left": count_recovery_codes(user),
        "count": RECOVERY_CODE_COUNT,
        "minutes": int(CONFIRMATION_PERIOD.total_seconds() // 60),
        **result,
    }
    if not result and form is not None:
        page["rejected"] = action
        page[action] = form
    return TemplateResponse(request, "admin/second_factor.html", page)


def _offer(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _check_proof(request, form)
    user: Any = request.user
    offer = second_factor_offer(user=user)
    # In groups of four, as people read it aloud. Apps ignore the spaces.
    groups = [offer.secret[at : at + 4] for at in range(0, len(offer.secret), 4)]
    return {"offered": offer, "key": " ".join(groups)}


def _confirm(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    user: Any = request.user
    code = "".join(form.cleaned_data["code"].split())
    confirmed = second_factor_confirm(user=user, code=code, actor=get_staff_actor(request))
    if confirmed is None:
        form.add_error("code", "The code is wrong, or came too soon after a wrong one.")
        return {}
    device, codes = confirmed
    # This session has proved the second factor now; all others of the user must log in again.
    request.session.cycle_key()
    login(request, device)
    return {"codes_shown": codes}


def _renew_codes(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _check_proof(request, form)
    user: Any = request.user
    codes = recovery_codes_renew(user=user, actor=get_staff_actor(request))
    return {"codes_shown": codes}


def _remove(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _check_proof(request, form)
    user: Any = request.user
    second_factor_remove(user=user, actor=get_staff_actor(request))
    request.session.pop(DEVICE_ID_SESSION_KEY, None)
    return {"removed": True}


def _check_proof(request: HttpRequest, form: forms.Form) -> None:
    """Raise ServiceError for a wrong password or code. Failures count like those of a login."""
    proof = form.cleaned_data
    reauthenticate(request, password=proof["password"], otp=proof.get("otp"))


_ACTIONS = {"offer": _offer, "confirm": _confirm, "codes": _renew_codes, "remove": _remove}
