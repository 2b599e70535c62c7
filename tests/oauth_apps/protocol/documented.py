"""Made-up token responses in the form that each provider documents.

One entry for each kind that connects by OAuth: the response to the code, and that to a refresh (None
if the provider documents none). Values are invented; names, types and oddities are the provider's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

ACCESS = "access-1"
NEXT_ACCESS = "access-2"
REFRESH = "refresh-1"
NEXT_REFRESH = "refresh-2"


class Documented(NamedTuple):
    """The two responses, as JSON values or as text, and what must be read in them.

    `seconds` is the lifetime of the access token: None if the response does not state one. `config`
    and `properties` fill the URLs' variables.
    """

    code: Any
    refresh: Any
    seconds: int | None
    rotates: bool = False
    config: dict[str, str] = {}
    properties: dict[str, str] = {}


def tokens(seconds: int | None = None, *, rt: bool = True, **more: Any) -> dict[str, Any]:
    """Return the plain response of RFC 6749 section 5.1, with `more` members."""
    response: dict[str, Any] = {"access_token": ACCESS, "token_type": "bearer"}
    if seconds is not None:
        response["expires_in"] = seconds
    if rt:
        response["refresh_token"] = REFRESH
    return {**response, **more}


def renewed(
    seconds: int | None = None, *, rotates: bool = True, rt: bool = True, **more: Any
) -> dict[str, Any]:
    """Return the response to a refresh. `rt` False: it has no refresh token."""
    response = tokens(seconds, rt=False, **more) | {"access_token": NEXT_ACCESS}
    return response | ({"refresh_token": NEXT_REFRESH if rotates else REFRESH} if rt else {})


def plain(seconds: int | None, *, rotates: bool = True, **more: Any) -> Documented:
    """Return the entry of a provider that adds only `more` to the standard."""
    return Documented(
        tokens(seconds, **more), renewed(seconds, rotates=rotates, **more), seconds, rotates
    )


_USER = {"id": "1201", "gid": "1201", "name": "Duncan", "email": "duncan@arrakis.example.com"}
_SLACK = {
    "ok": True,
    "token_type": "bot",
    "scope": "chat:write",
    "bot_user_id": "U0",
    "app_id": "A0",
    "expires_in": 43200,
    "team": {"id": "T0", "name": "Arrakis"},
    "enterprise": None,
    "authed_user": {"id": "U1"},
}
_SQUARE = {
    "token_type": "bearer",
    "expires_at": "2026-12-30T09:30:00Z",
    "merchant_id": "MLEXAMPLE",
    "short_lived": False,
}
_SQUARE_SECONDS = 30 * 24 * 3600

DOCUMENTED: Final[dict[str, Documented]] = {
    "airtable_oauth2": plain(3600, refresh_expires_in=5184000, scope="data.records:read"),
    "asana_oauth2": Documented(tokens(3600, data=_USER), renewed(3600, rt=False, data=_USER), 3600),
    "atlassian_oauth2": plain(3600, scope="offline_access read:jira-work"),
    "attio_oauth2": Documented(tokens(rt=False), None, None),
    "basecamp_oauth2": Documented(tokens(1209600), renewed(1209600, rt=False), 1209600),
    "bitbucket_oauth2": plain(7200, scopes="account", state="authorization_code"),
    "box_oauth2": plain(3600, restricted_to=[]),
    "brevo_oauth2": plain(3600),
    "calendly_oauth2": plain(
        7200,
        scope="users:read",
        created_at=1796000000,
        owner="https://api.calendly.com/users/U",
        organization="https://api.calendly.com/organizations/O",
    ),
    "canva_oauth2": plain(14400, scope="profile:read"),
    "clickup_oauth2": Documented({"access_token": ACCESS}, None, None),
    "cloudflare_oauth2": plain(3600, scope="user:read"),
    "datadog_oauth2": plain(3600, scope="events_read")._replace(
        properties={"site": "datadoghq.eu"}
    ),
    "digitalocean_oauth2": plain(
        2592000, scope="read", info={"uuid": "u", "team_uuid": "t", "email": "d@example.com"}
    ),
    "discord_oauth2": plain(604800, token_type="Bearer", scope="identify"),
    "docusign_oauth2": plain(28800, token_type="Bearer", scope="signature extended"),
    "dropbox_oauth2": Documented(
        tokens(14400, scope="account_info.read", uid="12345", account_id="dbid:AAH4f99"),
        renewed(14400, rt=False),
        14400,
    ),
    "eventbrite_oauth2": Documented(tokens(rt=False), None, None),
    "figma_oauth2": Documented(
        tokens(7776000, user_id_string="7"), renewed(7776000, rt=False), 7776000
    ),
    "freshbooks_oauth2": plain(43200, scope="user:profile:read", created_at=1796000000),
    "github_oauth2": Documented(
        tokens(28800, refresh_token_expires_in=15811200, scope=""),
        renewed(28800, refresh_token_expires_in=15811200, scope=""),
        28800,
        rotates=True,
    ),
    "gitlab_oauth2": plain(7200, created_at=1796000000, scope="read_user"),
    "google_oauth2": Documented(
        tokens(3599, token_type="Bearer", scope="openid email", id_token="e30.e30.x"),
        renewed(3599, rt=False, token_type="Bearer", scope="openid email"),
        3599,
    ),
    "greenhouse_oauth2": plain(3600, scope="harvest:read"),
    "gusto_oauth2": plain(7200, created_at=1796000000, scope="public"),
    "heroku_oauth2": Documented(
        tokens(28799, token_type="Bearer", user_id="u", session_nonce="n"),
        renewed(28799, rotates=False, token_type="Bearer", user_id="u", session_nonce="n"),
        28799,
    ),
    "hubspot_oauth2": Documented(
        tokens(1800, hub_id=62515, user_id=1, scopes=["oauth"]),
        renewed(1800, rotates=False, hub_id=62515, user_id=1, scopes=["oauth"]),
        1800,
    ),
    "huggingface_oauth2": plain(28800, scope="openid", id_token="e30.e30.x"),
    "intercom_oauth2": Documented(
        {"token_type": "Bearer", "token": ACCESS, "access_token": ACCESS}, None, None
    ),
    "klaviyo_oauth2": plain(3600, scope="accounts:read"),
    "linear_oauth2": plain(86399, token_type="Bearer", scope="read"),
    "linkedin_oauth2": Documented(
        tokens(5184000, refresh_token_expires_in=31536000, scope="openid,profile"),
        renewed(5184000, rotates=False, refresh_token_expires_in=31536000),
        5184000,
    ),
    # 0 stands for a token that does not expire.
    "mailchimp_oauth2": Documented(
        {"access_token": ACCESS, "expires_in": 0, "scope": None}, None, 60
    ),
    "microsoft_oauth2": plain(
        3736, token_type="Bearer", ext_expires_in=3736, scope="User.Read Mail.Read"
    ),
    "miro_oauth2": plain(3599, user_id="1", team_id="2", scope="boards:read"),
    "monday_oauth2": plain(3600, scope="me:read"),
    "netsuite_oauth2": Documented(
        tokens(None, expires_in="3600"),
        renewed(None, rt=False, expires_in="3600"),
        3600,
        config={"account": "1234567-sb1"},
    ),
    "notion_oauth2": plain(
        None, bot_id="b", workspace_id="w", workspace_name="Arrakis", owner={"type": "user"}
    ),
    "pagerduty_oauth2": plain(864000, client_info="prefix_legacy_app", scope="openid read"),
    "pandadoc_oauth2": plain(31535999, token_type="Bearer", scope="read write"),
    "paypal_oauth2": Documented(
        tokens(28800, token_type="Bearer", scope="openid", nonce="n"),
        renewed(28800, rt=False, token_type="Bearer", scope="openid", nonce="n"),
        28800,
    ),
    "pinterest_oauth2": Documented(
        tokens(2592000, response_type="authorization_code", scope="user_accounts:read"),
        renewed(2592000, rt=False, response_type="refresh_token", scope="user_accounts:read"),
        2592000,
    ),
    "pipedrive_oauth2": plain(
        3599, token_type="Bearer", scope="base", api_domain="https://acme.pipedrive.com"
    ),
    "quickbooks_oauth2": plain(3600, x_refresh_token_expires_in=8726400),
    "reddit_oauth2": Documented(
        tokens(86400, scope="identity"), renewed(86400, rotates=False, scope="identity"), 86400
    ),
    "salesforce_oauth2": Documented(
        tokens(
            None,
            token_type="Bearer",
            instance_url="https://acme.my.salesforce.com",
            id="https://login.salesforce.com/id/00D/005",
            issued_at="1796000000000",
            signature="s=",
            scope="api refresh_token",
        ),
        renewed(None, rt=False, instance_url="https://acme.my.salesforce.com", issued_at="1796"),
        None,
    ),
    "sentry_oauth2": plain(
        2591999, expires_at="2026-12-30T09:30:00Z", user=_USER, scope="org:read"
    ),
    "servicenow_oauth2": Documented(
        tokens(1799, token_type="Bearer", scope="useraccount"),
        renewed(1799, rotates=False, token_type="Bearer", scope="useraccount"),
        1799,
        config={"instance": "acme"},
    ),
    "shopify_oauth2": Documented(
        tokens(3600, rt=True, scope="read_orders", refresh_token_expires_in=7776000),
        renewed(3600, scope="read_orders", refresh_token_expires_in=7776000),
        3600,
        rotates=True,
        config={"shop": "arrakis"},
    ),
    "slack_oauth2": Documented(
        {**_SLACK, "access_token": ACCESS, "refresh_token": REFRESH},
        {**_SLACK, "access_token": NEXT_ACCESS, "refresh_token": NEXT_REFRESH},
        43200,
        rotates=True,
    ),
    "spotify_oauth2": Documented(
        tokens(3600, token_type="Bearer", scope="user-read-email"),
        renewed(3600, rt=False, token_type="Bearer", scope="user-read-email"),
        3600,
    ),
    "square_oauth2": Documented(
        {**_SQUARE, "access_token": ACCESS, "refresh_token": REFRESH},
        {**_SQUARE, "access_token": NEXT_ACCESS, "refresh_token": REFRESH},
        _SQUARE_SECONDS,
    ),
    "strava_oauth2": Documented(
        tokens(21600, token_type="Bearer", expires_at=1796050000, athlete={"id": 7}),
        renewed(21600, token_type="Bearer", expires_at=1796050000),
        21600,
        rotates=True,
    ),
    "stripe_oauth2": Documented(
        tokens(
            None,
            scope="read_write",
            livemode=False,
            stripe_user_id="acct_1",
            stripe_publishable_key="pk_test_1",
        ),
        None,
        None,
    ),
    "todoist_oauth2": Documented(tokens(rt=False, token_type="Bearer"), None, None),
    "twitch_oauth2": plain(14124, scope=["user:read:email"]),
    "typeform_oauth2": plain(604800, scope="offline accounts:read"),
    "vimeo_oauth2": Documented(
        tokens(rt=False, scope="public", user={"uri": "/users/7", "name": "Duncan"}), None, None
    ),
    "webex_oauth2": Documented(
        tokens(1209599, refresh_token_expires_in=7776000, scope="spark:people_read"),
        renewed(1209599, rotates=False, refresh_token_expires_in=7000000),
        1209599,
    ),
    "webflow_oauth2": Documented(tokens(rt=False, scope="sites:read"), None, None),
    "workday_oauth2": Documented(
        tokens(None, token_type="Bearer"),
        renewed(None, rt=False, token_type="Bearer"),
        None,
        config={"login": "impl", "host": "wd2-impl-services1", "tenant": "acme_dpt1"},
    ),
    "xero_oauth2": plain(1800, token_type="Bearer", scope="offline_access", id_token="e30.e30.x"),
    "zendesk_oauth2": plain(1800, scope="read")._replace(config={"subdomain": "arrakis"}),
    "zoho_oauth2": Documented(
        tokens(3600, token_type="Bearer", api_domain="https://www.zohoapis.eu", scope="x"),
        renewed(3600, rt=False, token_type="Bearer", api_domain="https://www.zohoapis.eu"),
        3600,
        config={"accounts": "accounts.zoho.eu", "api": "www.zohoapis.eu"},
    ),
    "zoom_oauth2": plain(3599, scope="user:read:user", api_url="https://api.zoom.us"),
}
