"""Where staff set up their own second factor. What is shown once is in no address, message or session."""

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


def _code_box(label: str) -> forms.CharField:
    return forms.CharField(label=label, max_length=32, widget=CodeInput())


class ProofForm(forms.Form):
    """Who sits there proves again who they are: an unlocked screen is not enough."""

    password = forms.CharField(
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    otp = _code_box("One-time or recovery code")

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not user_has_device(user):
            del self.fields["otp"]


class ConfirmForm(forms.Form):
    code = _code_box("The code that your app shows now")


def get_second_factor_urls(site: AdminSite) -> list[URLPattern]:
    """The one address; it is about whoever is logged in, and takes nobody's name."""

    def view(request: HttpRequest) -> HttpResponse:
        return second_factor_view(request, site.each_context(request))

    return [path("second-factor/", site.admin_view(view), name="second_factor")]


@never_cache
@sensitive_post_parameters()
@sensitive_variables("shown", "page")
def second_factor_view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    did = request.POST.get("do", "") if request.method == "POST" else ""
    form: forms.Form | None = None
    shown: dict[str, Any] = {}
    if did == "confirm":
        form = ConfirmForm(request.POST)
        shown = _done(request, form, did)
    elif did in {"offer", "codes", "remove"}:
        form = ProofForm(request.user, request.POST, auto_id=f"id_{did}_%s")
        shown = _done(request, form, did)
    page = {**context, "title": "Second factor", "refused": "", **_state(request), **shown}
    if not shown and form is not None:
        page["refused"] = did
        page[did] = form
    return TemplateResponse(request, "admin/second_factor.html", page)


def _state(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    forms = {did: ProofForm(user, auto_id=f"id_{did}_%s") for did in ("offer", "codes", "remove")}
    return {
        **forms,
        "confirm": ConfirmForm(),
        "is_set_up": has_second_factor(user),
        "left": count_recovery_codes(user),
        "count": RECOVERY_CODE_COUNT,
        "minutes": int(CONFIRMATION_PERIOD.total_seconds() // 60),
    }


def _done(request: HttpRequest, form: forms.Form, did: str) -> dict[str, Any]:
    """What is to be shown of it; nothing where the form says what was wrong."""
    if not form.is_valid():
        return {}
    try:
        return _ACTS[did](request, form)
    except ServiceError as problem:
        form.add_error(None, problem.detail)
        return {}


def _offer(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _prove(request, form)
    user: Any = request.user
    offered = second_factor_offer(user=user)
    return {"offered": offered, "key": _in_fours(offered.secret)}


def _in_fours(key: str) -> str:
    """As people read it aloud. Apps leave blanks out."""
    return " ".join(key[at : at + 4] for at in range(0, len(key), 4))


def _confirm(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    user: Any = request.user
    typed = "".join(form.cleaned_data["code"].split())
    made = second_factor_confirm(user=user, code=typed, actor=get_staff_actor(request))
    if made is None:
        form.add_error("code", "The code is wrong, or came too soon after a wrong one.")
        return {}
    device, codes = made
    # This browser has just shown the factor; any other has to log in again.
    request.session.cycle_key()
    login(request, device)
    return {"codes_shown": codes}


def _renew(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _prove(request, form)
    user: Any = request.user
    codes = recovery_codes_renew(user=user, actor=get_staff_actor(request))
    return {"codes_shown": codes}


def _remove(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    _prove(request, form)
    user: Any = request.user
    second_factor_remove(user=user, actor=get_staff_actor(request))
    request.session.pop(DEVICE_ID_SESSION_KEY, None)
    return {"removed": True}


def _prove(request: HttpRequest, form: forms.Form) -> None:
    """Raises Problem for a wrong password or code, which lock out as a login's do."""
    typed = form.cleaned_data
    reauthenticate(request, password=typed["password"], otp=typed.get("otp"))


_ACTS = {"offer": _offer, "confirm": _confirm, "codes": _renew, "remove": _remove}
