"""Names, summaries and groups of the operations in the OpenAPI document.

They are derived from the path and the docstring. This module has what a reader of the document needs in
addition: programs are generated from the ids, so an id never changes.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

Schema = dict[str, Any]


class Group(NamedTuple):
    """A tag: the paths that begin with one of `prefixes` belong to it."""

    name: str
    prefixes: tuple[str, ...]
    description: str


# The first group that matches is used, and they are in the order of the document.
GROUPS: Final = (
    Group(
        "connect",
        (
            *("/v1/connect-", "/v1/credentials/start-auth", "/v1/oauth-apps/{id}/connect-settings"),
            *("/link/oauth2/", "/connect/", "/oauth2/"),
        ),
        "One person connects one account: hosted links, and the documented OAuth flows.",
    ),
    Group("credentials", ("/v1/credentials",), "Stored keys and grants. Secrets are masked."),
    Group("oauth-apps", ("/v1/oauth-apps",), "Clients that a customer registered at a provider."),
    Group("proxy", ("/v1/proxy/", "/proxy/"), "Requests to a provider with a stored credential."),
    Group("providers", ("/v1/providers",), "What is supported, and the schema of each kind."),
    Group("webhooks", ("/v1/webhook-endpoints",), "Signed notifications, and their deliveries."),
    Group("events", ("/v1/events",), "The audit log."),
    Group("sessions", ("/api/auth/",), "Login of staff, compatible with Fishnet."),
    Group("keys", ("/api/",), "Credentials without their secrets, compatible with Fishnet."),
)

_IDS: Final = {
    ("/api/credentials", "get"): "keys_list",
    ("/api/credentials", "post"): "keys_create",
    ("/api/credentials/{id}", "delete"): "keys_delete",
    ("/api/auth/status", "get"): "auth_status",
    ("/link/oauth2/token", "post"): "oauth2_exchange_code",
}
_SUMMARIES: Final = {
    ("/v1/connect-links/{id}", "get"): "Get a connect link",
    ("/v1/connect-settings", "patch"): "Change the settings for links without an OAuth app",
    ("/v1/credentials", "post"): "Import a credential",
    ("/v1/credentials/import", "post"): "Import many credentials",
    ("/v1/credentials/export", "get"): "Export credentials",
    ("/v1/credentials/{id}", "get"): "Get a credential",
    ("/v1/credentials/{id}/token", "post"): "Get an access token",
    ("/v1/credentials/start-auth", "post"): "Start the OAuth flow for one user",
    ("/v1/events", "get"): "List events, newest first",
    ("/v1/oauth-apps/{id}", "get"): "Get an OAuth app",
    ("/v1/oauth-apps/{id}/connect-settings", "get"): "Get the connect settings of an OAuth app",
    ("/v1/oauth-apps/{id}/connect-settings", "patch"): "Change the connect settings of an app",
    ("/v1/providers", "get"): "List providers and their kinds",
    ("/v1/webhook-endpoints", "get"): "List webhook endpoints",
    ("/v1/webhook-endpoints/{id}", "get"): "Get a webhook endpoint",
    ("/v1/webhook-endpoints/{id}/rotate-secret", "post"): "Rotate the signing secret",
    ("/v1/connect-settings", "get"): "Get the settings for links without an OAuth app",
    ("/v1/connect-links", "post"): "Create a connect link",
    ("/v1/connect-links/{id}", "delete"): "Cancel a connect link",
    ("/v1/connect-links/{id}/complete", "post"): "Store the pending credential of a connect link",
    ("/v1/credentials/{id}", "delete"): "Delete a credential",
    ("/v1/credentials/{id}/check", "post"): "Check a credential at its provider",
    ("/v1/credentials/{id}/policy", "get"): "Get the proxy's policy for a credential",
    ("/v1/credentials/{id}/policy", "put"): "Replace the proxy's policy for a credential",
    ("/v1/credentials/{id}/refresh", "post"): "Refresh the access token now",
    ("/v1/credentials/{id}/report", "post"): "Report the status of a provider's response",
    ("/v1/oauth-apps", "post"): "Register an OAuth app",
    ("/v1/oauth-apps/{id}", "patch"): "Change an OAuth app",
    ("/v1/oauth-apps/{id}", "delete"): "Delete an OAuth app that no credential uses",
    ("/v1/providers/{slug}", "get"): "Get a provider",
    ("/v1/webhook-endpoints", "post"): "Add a webhook endpoint",
    ("/v1/webhook-endpoints/{id}", "patch"): "Change a webhook endpoint",
    ("/v1/webhook-endpoints/{id}", "delete"): "Delete a webhook endpoint and its deliveries",
    ("/v1/webhook-endpoints/{endpoint_id}/deliveries/{id}/replay", "post"): "Send a delivery again",
    ("/api/auth/login", "post"): "Log in",
    ("/api/auth/logout", "post"): "Log out",
    ("/api/auth/status", "get"): "Get the state of the session",
    ("/api/credentials/{id}", "delete"): "Delete a credential",
}
_VERBS: Final = {
    "retrieve": "get",
    "partial_update": "update",
    "update": "replace",
    "destroy": "delete",
}
MAX_SUMMARY: Final = 80
_BASE_DESCRIPTIONS: Final = ("A view that states", "A view over the rows", "GET, PATCH and DELETE")
_SENTENCE: Final = re.compile(r"(.+?)[.:](?:\s|$)", re.DOTALL)


def describe_operation(operation: Schema, *, path: str, method: str, is_collection: bool) -> None:
    """Set the operation's id, summary and tag. `is_collection`: GET lists what POST adds to."""
    key = (path, method)
    operation["operationId"] = _IDS.get(key) or _build_id(
        operation["operationId"], is_collection=is_collection
    )
    # Without a docstring of its own, a view has that of its base class.
    if operation.get("description", "").startswith(_BASE_DESCRIPTIONS):
        del operation["description"]
    description = " ".join(operation.get("description", "").split())
    sentence = _SENTENCE.match(description)
    summary = _SUMMARIES.get(key) or (sentence[1] if sentence else description)
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[: MAX_SUMMARY - 1].rstrip()}…"
    operation["summary"] = summary
    # A description that says no more than the summary would be read twice.
    if description.rstrip(".") == summary:
        operation.pop("description")
    operation["tags"] = [find_group(path)]


def find_group(path: str) -> str:
    return next((group.name for group in GROUPS if path.startswith(group.prefixes)), GROUPS[1].name)


def list_tags() -> list[Schema]:
    return [{"name": group.name, "description": group.description} for group in GROUPS]


def _build_id(generated: str, *, is_collection: bool) -> str:
    """Turn drf-spectacular's `v1_credentials_check_create` into `credentials_check`."""
    name = generated.removeprefix("v1_").removeprefix("api_")
    for suffix, verb in _VERBS.items():
        if name.endswith(f"_{suffix}"):
            return f"{name.removesuffix(suffix)}{verb}"
    return name if is_collection else name.removesuffix("_create")
