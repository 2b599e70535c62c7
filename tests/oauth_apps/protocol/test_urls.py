"""URL templates: no value of an app or credential chooses where secrets are sent."""

from __future__ import annotations

import pytest

from oauth_apps.protocol import AppError
from oauth_apps.protocol.urls import fill_url_template


@pytest.mark.parametrize(
    ("template", "value", "url"),
    [
        ("https://{x}.example.com/t", "Acme", "https://acme.example.com/t"),
        ("https://api.{x}/t", "datadoghq.eu", "https://api.datadoghq.eu/t"),
        ("https://{x}/oauth/t", "acme.eu.auth0.com", "https://acme.eu.auth0.com/oauth/t"),
        ("https://example.com/{x}/t", "Tenant_1", "https://example.com/Tenant_1/t"),
        ("https://example.com/i/{x}", "42", "https://example.com/i/42"),
        ("{x}", "plain", "plain"),
    ],
)
def test_filled(template, value, url):
    assert fill_url_template(template, {"x": value}) == url


@pytest.mark.parametrize("template", ["https://{x}.example.com/t", "https://example.com/{x}/t"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a:1",
        "a\\b",
        "a b",
        "a%2fb",
        "evil.com/",
        "é",
        "{x}",
    ],
)
def test_forbidden_addresses_are_rejected(template, value):
    with pytest.raises(AppError) as caught:
        fill_url_template(template, {"x": value})
    assert (caught.value.code, caught.value.sent) == ("invalid_config", False)
    assert caught.value.detail.startswith("The value of x ")


@pytest.mark.parametrize("value", ["localhost", "127.0.0.1", "10.1", "a..b"])
def test_whole_host_must_be_a_dns_name(value):
    with pytest.raises(AppError):
        fill_url_template("https://{x}/t", {"x": value})


def test_the_host_ends_as_the_template_does():
    with pytest.raises(AppError, match="does not lead to the provider"):
        fill_url_template("https://{x}.c_m/t", {"x": "a"})
