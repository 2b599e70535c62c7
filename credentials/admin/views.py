"""The frame of the pages about credentials that Django's admin does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from credentials.models import Credential

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin

CredentialPage = Callable[[HttpRequest, "CredentialAdmin", Credential], HttpResponse]
"""Django's decorators of views expect the request first."""


def build_credential_view(
    model_admin: CredentialAdmin, page: CredentialPage, *, permission: str
) -> Callable[..., HttpResponse]:
    """Return a view that renders `page` for the credential of the address.

    `permission` names a method of the admin: `reveal` for `has_reveal_permission`. Without it the
    view responds with 403, before it looks for the row.
    """

    def view(request: HttpRequest, object_id: str) -> HttpResponse:
        if not getattr(model_admin, f"has_{permission}_permission")(request):
            raise PermissionDenied
        row = model_admin.get_object(request, object_id)
        if row is None:
            return model_admin._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined,no-any-return]
                request, model_admin.opts, object_id
            )
        return page(request, model_admin, row)

    return model_admin.admin_site.admin_view(view)


def render_page(
    model_admin: CredentialAdmin, request: HttpRequest, template: str, title: str, **context: Any
) -> TemplateResponse:
    """Return the page of the template `admin/credentials/credential/<template>.html`."""
    site = model_admin.admin_site.each_context(request)
    return TemplateResponse(
        request,
        f"admin/credentials/credential/{template}.html",
        {**site, "title": title, "opts": model_admin.opts, **context},
    )
