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


def code_of(secret: str) -> str:
    return f"{totp(base64.b32decode(secret)):06}"


def offered(browser: Client) -> str:
    """The key that the page shows once."""
    said = text(post(browser, "offer", password=PASSWORD))
    found = re.search(r'<code class="lk-token">((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})</code>', said)
    assert found, said
    return found[1].replace(" ", "")


def codes_in(response: Any) -> list[str]:
    return re.findall(r'<code class="lk-token">([a-z2-7]{16})</code>', text(response))


def set_up(browser: Client) -> list[str]:
    return codes_in(post(browser, "confirm", code=code_of(offered(browser))))


@pytest.fixture
def staff(account: Account) -> User:
    return make_staff()


@pytest.fixture
def door(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def test_a_code_turns_it_on_and_ten_recovery_codes_are_shown_once(
    door: Client, staff: User, account: Account
) -> None:
    codes = set_up(door)
    assert len(set(codes)) == 10
    assert Authenticator.objects.get().confirmed
    said = text(door.get(PAGE))
    assert "Recovery codes left: 10" in said
    assert not [code for code in codes if code in said]
    event = Event.objects.get(verb="second_factor.set_up")
    assert (event.account_id, event.actor) == (account.pk, f"user:{staff.pk}")
    assert (event.target_type, event.target_id) == (
        "user",
        second_factor.get_event_target_id(staff),
    )


def test_the_uri_is_what_apps_read(door: Client, staff: User) -> None:
    said = text(post(door, "offer", password=PASSWORD))
    assert f"otpauth://totp/Latchkey%3A{staff.username}?secret=" in said
    assert "&issuer=Latchkey" in said


def test_nothing_asks_for_a_code_before_it_is_confirmed(door: Client) -> None:
    offered(door)
    assert not Authenticator.objects.get().confirmed
    assert door.get("/admin/").status_code == 200


def test_a_wrong_code_turns_nothing_on_and_the_key_is_not_shown_again(door: Client) -> None:
    key = offered(door)
    wrong = f"{(int(code_of(key)) + 500_000) % 1_000_000:06}"
    said = text(post(door, "confirm", code=wrong))
    assert "The code is wrong" in said
    assert key not in said
    assert Authenticator.objects.get().throttling_failure_count == 1
    assert not Authenticator.objects.get().confirmed
    assert not RecoveryCodes.objects.exists()
    assert not Event.objects.filter(verb__startswith="second_factor").exists()


@pytest.mark.parametrize("code", ["", "abc", "½" * 6, "9" * 33, "\x00"])
def test_what_is_no_code_is_refused(door: Client, code: str) -> None:
    offered(door)
    assert post(door, "confirm", code=code).status_code == 200
    assert not Authenticator.objects.get().confirmed


def test_a_code_may_be_typed_with_a_space(door: Client) -> None:
    code = code_of(offered(door))
    assert codes_in(post(door, "confirm", code=f"{code[:3]} {code[3:]}"))


def test_a_key_that_waited_too_long_is_void(door: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    key = offered(door)
    device = Authenticator.objects.get()
    device.created_at -= second_factor.CONFIRMATION_PERIOD
    device.save()
    assert "start again" in text(post(door, "confirm", code=code_of(key)))


def test_another_key_voids_the_one_before(door: Client) -> None:
    first, second = offered(door), offered(door)
    assert first != second
    assert Authenticator.objects.get().decrypt_key() == base64.b32decode(second)


@pytest.mark.parametrize("do", ["offer", "codes", "remove"])
def test_a_wrong_password_does_nothing(door: Client, do: str) -> None:
    assert "The password is wrong." in text(post(door, do, password="wrong")) or do != "offer"
    assert not Authenticator.objects.exists()


def test_a_second_one_is_refused(door: Client) -> None:
    (code, *_) = set_up(door)
    said = text(post(door, "offer", password=PASSWORD, otp=code))
    assert "otpauth://" not in said
    assert Authenticator.objects.count() == 1


def test_this_browser_stays_in_and_others_have_to_log_in_again(door: Client, staff: User) -> None:
    other = Client()
    other.force_login(staff)
    before = door.session.session_key
    set_up(door)
    assert door.get("/admin/").status_code == 200
    assert door.session.session_key != before
    assert other.get("/admin/").status_code == 302


def test_a_recovery_code_opens_the_door_once(door: Client, staff: User) -> None:
    (code, *_) = set_up(door)
    typed = {"username": staff.username, "password": PASSWORD, "otp": code}
    assert Client().post("/admin/login/", typed).status_code == 302
    assert "missing or wrong" in text(Client().post("/admin/login/", typed))
    assert RecoveryCode.objects.count() == 9


def test_new_codes_void_those_before(door: Client, staff: User) -> None:
    (code, *others) = set_up(door)
    fresh = codes_in(post(door, "codes", password=PASSWORD, otp=code))
    assert len(fresh) == 10
    assert not set(fresh) & {code, *others}
    held = {bytes(found) for found in RecoveryCode.objects.values_list("digest", flat=True)}
    assert held == {hash_recovery_code(staff.pk, code) for code in fresh}
    assert Event.objects.filter(verb="second_factor.codes_renewed").count() == 1


def test_it_is_removed_with_password_and_code(door: Client) -> None:
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
def test_it_is_not_removed_without_both(door: Client, typed: dict[str, str]) -> None:
    (code, *_) = set_up(door)
    post(door, "remove", **{name: value.replace("CODE", code) for name, value in typed.items()})
    assert Authenticator.objects.filter(confirmed=True).exists()
    assert not Event.objects.filter(verb="second_factor.removed").exists()


def test_it_is_about_oneself_alone(door: Client, staff: User) -> None:
    other = make_staff()
    door.post(f"{PAGE}?user={other.pk}", {"do": "offer", "password": PASSWORD, "user": other.pk})
    assert list(Authenticator.objects.values_list("user", flat=True)) == [staff.pk]


def test_each_account_hears_of_it(door: Client) -> None:
    make_account()
    set_up(door)
    told = Event.objects.filter(verb="second_factor.set_up").values_list("account", flat=True)
    assert set(told) == set(Account.objects.values_list("pk", flat=True))


def test_the_page_keeps_to_the_policy_and_to_no_cache(door: Client) -> None:
    response = post(door, "offer", password=PASSWORD)
    assert "no-store" in response["Cache-Control"]
    assert "unsafe" not in response["Content-Security-Policy"]
    main = text(response)
    main = main[main.index('id="content-main"') :]
    assert "<script" not in main[: main.index("<footer")]
    assert "style=" not in main


def test_the_tools_of_every_page_lead_there(door: Client) -> None:
    assert f'href="{PAGE}"' in text(door.get("/admin/"))


def test_nobody_else_gets_there(account: Account) -> None:
    assert Client().get(PAGE).status_code == 302
    client = Client()
    client.force_login(User.objects.create_user("outside"))
    assert client.get(PAGE).status_code == 302


def test_no_repr_shows_the_key(staff: User) -> None:
    found = second_factor.second_factor_offer(user=staff)
    assert found.secret not in repr(found)
