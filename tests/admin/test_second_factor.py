"""Staff set up, renew and remove their own second factor."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import totp

from accounts import second_factor
from accounts.models import Account
from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes, hash_recovery_code
from events.models import Event
from tests.admin.pages import text
from tests.factories import make_account, make_staff

PAGE = "/admin/second-factor/"
PASSWORD = "correct horse"


def post(browser: Client, do: str, **typed: str) -> Any:
    return browser.post(PAGE, {"do": do, **typed})


def compute_code(secret: str) -> str:
    return f"{totp(base64.b32decode(secret)):06}"


def request_key(browser: Client) -> str:
    """The key that the page shows once."""
    content = text(post(browser, "offer", password=PASSWORD))
    found = re.search(r'<code class="lk-token">((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})</code>', content)
    assert found, content
    return found[1].replace(" ", "")


def find_codes(response: Any) -> list[str]:
    return re.findall(r'<code class="lk-token">([a-z2-7]{16})</code>', text(response))


def set_up(browser: Client) -> list[str]:
    return find_codes(post(browser, "confirm", code=compute_code(request_key(browser))))


@pytest.fixture
def staff(account: Account) -> User:
    return make_staff()


@pytest.fixture
def door(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def test_setup_displays_ten_recovery_codes_once(
    door: Client, staff: User, account: Account
) -> None:
    codes = set_up(door)
    assert len(set(codes)) == 10
    assert Authenticator.objects.get().confirmed
    content = text(door.get(PAGE))
    assert "Recovery codes left: 10" in content
    assert not [code for code in codes if code in content]
    event = Event.objects.get(verb="second_factor.set_up")
    assert (event.account_id, event.actor) == (account.pk, f"user:{staff.pk}")
    assert (event.target_type, event.target_id) == (
        "user",
        second_factor.get_event_target_id(staff),
    )


def test_uri_is_readable_by_authenticator_apps(door: Client, staff: User) -> None:
    content = text(post(door, "offer", password=PASSWORD))
    assert f"otpauth://totp/Latchkey%3A{staff.username}?secret=" in content
    assert "&issuer=Latchkey" in content


def test_login_needs_no_code_before_the_setup_is_confirmed(door: Client) -> None:
    request_key(door)
    assert not Authenticator.objects.get().confirmed
    assert door.get("/admin/").status_code == 200


def test_setup_rejects_a_wrong_code(door: Client) -> None:
    key = request_key(door)
    wrong = f"{(int(compute_code(key)) + 500_000) % 1_000_000:06}"
    content = text(post(door, "confirm", code=wrong))
    assert "The code is wrong" in content
    assert key not in content
    assert Authenticator.objects.get().throttling_failure_count == 1
    assert not Authenticator.objects.get().confirmed
    assert not RecoveryCodes.objects.exists()
    assert not Event.objects.filter(verb__startswith="second_factor").exists()


@pytest.mark.parametrize("code", ["", "abc", "½" * 6, "9" * 33, "\x00"])
def test_setup_rejects_text_that_is_not_a_code(door: Client, code: str) -> None:
    request_key(door)
    assert post(door, "confirm", code=code).status_code == 200
    assert not Authenticator.objects.get().confirmed


def test_code_may_contain_a_space(door: Client) -> None:
    code = compute_code(request_key(door))
    assert find_codes(post(door, "confirm", code=f"{code[:3]} {code[3:]}"))


def test_offered_key_expires(door: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    key = request_key(door)
    device = Authenticator.objects.get()
    device.created_at -= second_factor.CONFIRMATION_PERIOD
    device.save()
    assert "start again" in text(post(door, "confirm", code=compute_code(key)))


def test_another_key_replaces_the_former_one(door: Client) -> None:
    first, second = request_key(door), request_key(door)
    assert first != second
    assert Authenticator.objects.get().decrypt_key() == base64.b32decode(second)


@pytest.mark.parametrize("do", ["offer", "codes", "remove"])
def test_setup_rejects_a_wrong_password(door: Client, do: str) -> None:
    assert "The password is wrong." in text(post(door, do, password="wrong")) or do != "offer"
    assert not Authenticator.objects.exists()


def test_setup_rejects_a_second_factor_if_there_is_one(door: Client) -> None:
    (code, *_) = set_up(door)
    content = text(post(door, "offer", password=PASSWORD, otp=code))
    assert "otpauth://" not in content
    assert Authenticator.objects.count() == 1


def test_setup_ends_all_other_sessions(door: Client, staff: User) -> None:
    other = Client()
    other.force_login(staff)
    before = door.session.session_key
    set_up(door)
    assert door.get("/admin/").status_code == 200
    assert door.session.session_key != before
    assert other.get("/admin/").status_code == 302


def test_recovery_code_works_once(door: Client, staff: User) -> None:
    (code, *_) = set_up(door)
    typed = {"username": staff.username, "password": PASSWORD, "otp": code}
    assert Client().post("/admin/login/", typed).status_code == 302
    assert "one-time code is wrong" in text(Client().post("/admin/login/", typed))
    assert RecoveryCode.objects.count() == 9


def test_new_recovery_codes_replace_the_former_ones(door: Client, staff: User) -> None:
    (code, *others) = set_up(door)
    fresh = find_codes(post(door, "codes", password=PASSWORD, otp=code))
    assert len(fresh) == 10
    assert not set(fresh) & {code, *others}
    held = {bytes(found) for found in RecoveryCode.objects.values_list("digest", flat=True)}
    assert held == {hash_recovery_code(staff.pk, code) for code in fresh}
    assert Event.objects.filter(verb="second_factor.codes_renewed").count() == 1


def test_removal_needs_password_and_code(door: Client) -> None:
    (code, *_) = set_up(door)
    assert "was removed" in text(post(door, "remove", password=PASSWORD, otp=code))
    assert not Authenticator.objects.exists()
    assert not RecoveryCodes.objects.exists()
    assert door.get("/admin/").status_code == 200
    assert Event.objects.filter(verb="second_factor.removed").count() == 1


@pytest.mark.parametrize(
    "typed",
    [{"password": PASSWORD}, {"otp": "CODE"}, {"password": PASSWORD, "otp": "a" * 16}],
    ids=["no code", "no password", "wrong code"],
)
def test_removal_rejects_a_missing_password_or_code(door: Client, typed: dict[str, str]) -> None:
    (code, *_) = set_up(door)
    post(door, "remove", **{name: value.replace("CODE", code) for name, value in typed.items()})
    assert Authenticator.objects.filter(confirmed=True).exists()
    assert not Event.objects.filter(verb="second_factor.removed").exists()


def test_page_concerns_the_own_factor_only(door: Client, staff: User) -> None:
    other = make_staff()
    door.post(f"{PAGE}?user={other.pk}", {"do": "offer", "password": PASSWORD, "user": other.pk})
    assert list(Authenticator.objects.values_list("user", flat=True)) == [staff.pk]


def test_each_account_gets_the_event(door: Client) -> None:
    make_account()
    set_up(door)
    types = Event.objects.filter(verb="second_factor.set_up").values_list("account", flat=True)
    assert set(types) == set(Account.objects.values_list("pk", flat=True))


def test_page_has_security_headers_and_is_not_cached(door: Client) -> None:
    response = post(door, "offer", password=PASSWORD)
    assert "no-store" in response["Cache-Control"]
    assert "unsafe" not in response["Content-Security-Policy"]
    main = text(response)
    main = main[main.index('id="content-main"') :]
    assert "<script" not in main[: main.index("<footer")]
    assert "style=" not in main


def test_every_page_links_to_the_second_factor(door: Client) -> None:
    assert f'href="{PAGE}"' in text(door.get("/admin/"))


def test_page_is_for_staff_only(account: Account) -> None:
    assert Client().get(PAGE).status_code == 302
    client = Client()
    client.force_login(User.objects.create_user("outside"))
    assert client.get(PAGE).status_code == 302


def test_repr_has_no_key(staff: User) -> None:
    found = second_factor.second_factor_offer(user=staff)
    assert found.secret not in repr(found)
