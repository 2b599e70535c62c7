"""The scopes that a connection needs are requested, whatever the app or the flow asks for."""

from __future__ import annotations

import pytest

from providers.registry import get_registry

WITH_REQUIRED = {
    slug: provider.oauth
    for slug, provider in get_registry().providers.items()
    if provider.oauth and provider.oauth.required_scopes
}
REQUIRED = [
    ("atlassian", {"offline_access"}),
    ("bitbucket", {"account"}),
    ("discord", {"identify"}),
    ("docusign", {"extended"}),
    ("figma", {"current_user:read"}),
    ("freshbooks", {"user:profile:read"}),
    ("gitlab", {"read_user"}),
    ("google", {"openid"}),
    ("hubspot", {"oauth"}),
    ("huggingface", {"openid"}),
    ("klaviyo", {"accounts:read"}),
    ("linkedin", {"openid", "profile"}),
    ("microsoft", {"offline_access", "User.Read"}),
    ("monday", {"me:read"}),
    ("reddit", {"identity"}),
    ("salesforce", {"refresh_token"}),
    ("typeform", {"offline", "accounts:read"}),
    ("webex", {"spark:people_read"}),
    ("xero", {"offline_access"}),
    ("zoho", {"AaaServer.profile.READ"}),
]


@pytest.mark.parametrize(("slug", "required"), REQUIRED)
def test_scopes_of_the_app_do_not_replace_the_required_ones(slug, required):
    scopes = WITH_REQUIRED[slug].add_required_scopes(["unrelated"])
    assert scopes[0] == "unrelated"
    assert set(scopes) == {"unrelated"} | required


def test_each_provider_with_required_scopes_is_listed():
    assert sorted(WITH_REQUIRED) == [slug for slug, _ in REQUIRED]


@pytest.mark.parametrize("slug", sorted(WITH_REQUIRED))
def test_default_scopes_have_the_required_ones(slug):
    oauth = WITH_REQUIRED[slug]
    assert oauth.add_required_scopes(oauth.default_scopes) == list(oauth.default_scopes)


@pytest.mark.parametrize("slug", sorted(WITH_REQUIRED))
def test_no_scope_is_requested_twice(slug):
    oauth = WITH_REQUIRED[slug]
    scopes = oauth.add_required_scopes(["unrelated"])
    assert oauth.add_required_scopes(scopes) == scopes


@pytest.mark.parametrize(
    ("slug", "scope", "expected"),
    [
        ("webex", "spark:all", ["spark:all"]),
        ("gitlab", "api", ["api"]),
        ("salesforce", "offline_access", ["offline_access"]),
        (
            "microsoft",
            "https://graph.microsoft.com/.default",
            ["https://graph.microsoft.com/.default", "offline_access"],
        ),
    ],
)
def test_a_scope_that_includes_the_required_one_is_enough(slug, scope, expected):
    assert WITH_REQUIRED[slug].add_required_scopes([scope]) == expected


def test_a_request_for_all_scopes_of_the_app_stays_one():
    assert WITH_REQUIRED["bitbucket"].add_required_scopes([]) == []


@pytest.mark.parametrize(
    ("slug", "scopes"),
    [
        ("atlassian", ("offline_access", "read:jira-work")),
        ("calendly", ("users:read",)),
        ("docusign", ("signature", "extended")),
        ("hubspot", ("oauth",)),
        ("klaviyo", ("accounts:read",)),
        ("strava", ("read",)),
        ("xero", ("offline_access", "accounting.settings.read")),
        ("zendesk", ("read",)),
    ],
)
def test_default_scopes_work_alone(slug, scopes):
    oauth = get_registry().providers[slug].oauth
    assert oauth
    assert oauth.default_scopes == scopes


def test_zendesk_is_asked_for_a_token_that_expires():
    oauth = get_registry().providers["zendesk"].oauth
    assert oauth
    assert oauth.token_params == {"expires_in": "1800"}
