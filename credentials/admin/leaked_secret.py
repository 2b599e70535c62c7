"""The page that finds the credential of a leaked secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.models import Account
from common.admin.forms import secret_input
from common.admin.model_admin import get_staff_actor
from credentials.admin.views import render_page
from credentials.models import Credential
from credentials.services import credential_find_by_secret

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin


class LeakedSecretForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.all())
    secret = forms.CharField(
        strip=True,
        max_length=16_384,
        widget=secret_input(),
        help_text="The leaked string. Only its fingerprint is compared; the string is not stored.",
    )


@never_cache
@sensitive_post_parameters()
def leaked_secret_page(request: HttpRequest, model_admin: CredentialAdmin) -> HttpResponse:
    """Render the form, and the credentials that have or recently had the submitted secret."""
    if not model_admin.has_reveal_permission(request):
        raise PermissionDenied
    form = LeakedSecretForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        ids = credential_find_by_secret(
            account_id=form.cleaned_data["account"].pk,
            value=form.cleaned_data["secret"],
            actor=get_staff_actor(request),
        )
        rows = Credential.objects.only("id", "name", "properties", "kind")
        context["matches"] = rows.filter(pk__in=ids).order_by("-id")
    return render_page(model_admin, request, "leak", "Find a leaked secret", **context)
