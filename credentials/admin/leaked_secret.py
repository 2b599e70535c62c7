"""Finding the credential of a leaked secret. What is pasted is in no address, page or message."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.models import Account
from common.admin.forms import secret_input
from common.admin.model_admin import get_staff_actor
from credentials.models import Credential
from credentials.services.leak_search import credential_find_by_secret


class LeakedSecretForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.all())
    secret = forms.CharField(
        strip=True,
        max_length=16_384,
        widget=secret_input(),
        help_text="The leaked string. It is compared by its fingerprint, and kept nowhere.",
    )


@never_cache
@sensitive_post_parameters()
def leaked_secret_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    form = LeakedSecretForm(request.POST or None)
    page = {**context, "title": "Find a leaked secret", "opts": Credential._meta, "form": form}
    if request.method == "POST" and form.is_valid():
        ids = credential_find_by_secret(
            account_id=form.cleaned_data["account"].pk,
            value=form.cleaned_data["secret"],
            actor=get_staff_actor(request),
        )
        shown = Credential.objects.only("id", "name", "properties", "kind")
        page["found"] = shown.filter(pk__in=ids).order_by("-id")
    return TemplateResponse(request, "admin/credentials/credential/leak.html", page)
