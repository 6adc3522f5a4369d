"""Settings: read once, checked early, refused in a sentence that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Config, ConfigError, Pack
from app.services.passkeys import Passkeys

REPO = Path(__file__).resolve().parents[1]
GOOD = {
    "APP_ENV": "production",
    "APP_URL": "https://dashboard.impacteragi.com",
    "JWT_SECRET": "9f4c1d2e8ab7635043fe19c8d27ab65f",
    "STRIPE_SECRET_KEY": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "STRIPE_WEBHOOK_SECRET": "whsec_Zq8vT2nRk5WxYb7Lm3Pd9Hs4Jc6F",
}
LOCAL = GOOD | {"APP_ENV": "development", "APP_URL": "http://127.0.0.1:8000", "JWT_SECRET": "x"}


def test_production_starts_with_the_five_settings_that_have_no_default():
    config = Config.from_env(GOOD)

    assert config.is_production
    assert config.livemode
    assert (config.aws_region, config.table_prefix, config.bcrypt_rounds) == ("us-east-1", "ImpacterAGI_", 12)
    assert config.dynamodb_endpoint_url is None
    assert config.packs[0] == Pack("pack-1000", 1000, 1000)
    assert all(pack.credits >= pack.price_cents for pack in config.packs)


def test_production_is_what_it_is_when_nothing_is_said():
    assert Config.from_env({name: value for name, value in GOOD.items() if name != "APP_ENV"}).is_production


@pytest.mark.threat(73)
@pytest.mark.parametrize("variable", ["APP_URL", "JWT_SECRET", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"])
@pytest.mark.parametrize("value", [None, "", "  ", ","])
def test_refused_by_name_when_a_setting_is_missing(variable, value):
    environ = GOOD | {variable: value}

    with pytest.raises(ConfigError, match=variable):
        Config.from_env({name: text for name, text in environ.items() if text is not None})


BAD = [
    ("WEBHOOK_TRIAL_RECEIVERS", "receiver.test:8443"),
    ("WEBHOOK_TRIAL_AUTHORITY", __file__),
    ("CREDIT_PAYMENT_LINKS", "https://buy.stripe.com/28o5kE"),
    ("CREDIT_PAYMENT_LINKS", "price_1N2b3C"),
    ("CREDIT_PAYMENT_LINKS", "plink_1N2b3C plink_4D5e6F"),
    ("CREDIT_PRICES", "prod_1N2b3C"),
    ("CREDIT_PRODUCTS", "prod_"),
    ("APP_ENV", "staging"),
    ("APP_URL", "http://dashboard.impacteragi.com"),
    ("APP_URL", "dashboard.impacteragi.com"),
    ("APP_URL", "https://dashboard.impacteragi.com/path"),
    ("APP_URL", "https://dashboard.impacteragi.com?x=1"),
    ("JWT_SECRET", "9f4c1d2e8ab7635"),
    ("JWT_SECRET", "9f4c1d2e8ab7635043fe19c8d27ab65f,short"),
    ("JWT_SECRET", "a" * 40),
    ("JWT_SECRET", "abababababababababababababababababab"),
    ("JWT_SECRET", "change-me-secret-change-me-secret-12345"),
    ("JWT_SECRET", "impacteragi-dev-secret-password-0123456789"),
    ("STRIPE_SECRET_KEY", "pk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("STRIPE_SECRET_KEY", "sk_live_"),
    ("STRIPE_SECRET_KEY", "sk_test_aaaaaaaaaaaaaaaaaaaaaaaa"),
    ("STRIPE_WEBHOOK_SECRET", "Zq8vT2nRk5WxYb7Lm3Pd9Hs4Jc6F"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_short"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_Zq8vT2nRk5WxYb7Lm3Pd9Hs4Jc6F,whsec_test"),
    ("STRIPE_API_BASE", "http://127.0.0.1:4242"),
    ("DYNAMODB_ENDPOINT_URL", "http://127.0.0.1:4566"),
    ("SES_ENDPOINT_URL", "http://127.0.0.1:4566"),
    ("S3_ENDPOINT_URL", "http://127.0.0.1:4566"),
    ("BCRYPT_ROUNDS", "4"),
    ("BCRYPT_ROUNDS", "31"),
    ("BCRYPT_ROUNDS", "twelve"),
    ("TRUSTED_PROXIES", "-1"),
    ("TRUSTED_PROXIES", "²"),
    ("EDGE_SECRETS", "short"),
    ("EDGE_SECRETS", "9f4c1d2e8ab7635043fe19c8d27ab65f,abababababababababababababababababab"),
    ("REQUIRE_OPERATOR_2FA", "0"),
    ("CREDIT_PACKS", "1000"),
    ("CREDIT_PACKS", "1000:10.00"),
    ("CREDIT_PACKS", "900:1000"),
    ("CREDIT_PACKS", "40:40"),
    ("CREDIT_PACKS", "1000:1000,"),
]


@pytest.mark.threat(73)
@pytest.mark.parametrize(("variable", "value"), BAD)
def test_refused_by_name_when_a_setting_is_wrong(variable, value):
    with pytest.raises(ConfigError, match=variable) as refusal:
        Config.from_env(GOOD | {variable: value})

    secret = variable in ("JWT_SECRET", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")
    assert not (secret and value in str(refusal.value)), "the secret itself stands in the message"


def test_development_takes_what_production_refuses():
    local = LOCAL | {
        "STRIPE_API_BASE": "http://127.0.0.1:4242",
        "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:4566",
        "STRIPE_SECRET_KEY": "sk_test_local",
        "BCRYPT_ROUNDS": "4",
    }

    config = Config.from_env(local)

    assert not config.is_production
    assert not config.livemode
    assert config.stripe_api_base == "http://127.0.0.1:4242"


def test_lists_are_read_newest_first():
    newest, older = "9f4c1d2e8ab7635043fe19c8d27ab65f", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"

    config = Config.from_env(GOOD | {"JWT_SECRET": f" {newest} , {older} "})

    assert config.jwt_secrets == (newest, older)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(AttributeError):
        Config.from_env(GOOD).app_url = "https://elsewhere.example"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://Dash.Example.com:443", "https://dash.example.com"),
        ("HTTPS://dash.example.com/", "https://dash.example.com"),
        ("https://dash.example.com.", "https://dash.example.com"),
        ("https://dash.example.com.:8443//", "https://dash.example.com:8443"),
        ("https://dash.example.com:", "https://dash.example.com"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
        (' "https://dash.example.com" ', "https://dash.example.com"),
        ("'https://dash.example.com/'", "https://dash.example.com"),
        ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
    ],
)
def test_the_public_address_is_kept_as_browsers_write_it(typed, address):
    config = Config.from_env(GOOD | {"APP_URL": typed})

    assert config.app_url == address
    passkeys = Passkeys(config.app_url)  # both are compared letter by letter with what the browser signed
    assert passkeys._origin == address
    assert passkeys._host == address.removeprefix("https://").partition(":8443")[0].strip("[]")


def test_the_default_port_is_that_of_the_scheme():
    assert Config.from_env(LOCAL | {"APP_URL": "http://LOCALHOST:80"}).app_url == "http://localhost"
    assert Config.from_env(LOCAL | {"APP_URL": "http://localhost:443"}).app_url == "http://localhost:443"


@pytest.mark.parametrize(
    "typed",
    [
        "https://user:password@dash.example.com",
        "https://user@dash.example.com",
        "https://dash.example.com:99999",
        "https://dash.example.com:http",
        "https://dash.example.com#top",
        "https://dash.example.com/#",
        "https://dash_.example.com\\evil",
        "https://dash..example.com",
        "https://-dash.example.com",
        "https://dash example.com",
        "https://1.2.3",
        "https://",
        "https:///dash.example.com",
        "https://[::1",
        "ftp://dash.example.com",
        "https://" + "a" * 64 + ".example",
    ],
)
def test_an_address_that_no_browser_can_open_is_refused_by_name(typed):
    with pytest.raises(ConfigError, match="APP_URL"):
        Config.from_env(GOOD | {"APP_URL": typed})


def test_settings_may_carry_quotes_spaces_and_capitals():
    typed = {
        "APP_ENV": " Production ",
        "ADMIN_EMAIL": '"Boss@Example.COM"',
        "MAIL_FROM": '"ImpacterAGI <hello@impacteragi.com>"',
        "STRIPE_WEBHOOK_SECRET": f"'{GOOD['STRIPE_WEBHOOK_SECRET']}'",
        "TRUSTED_PROXIES": '"1"',
        "DYNAMODB_ENDPOINT_URL": "HTTPS://dynamodb.example.com",
    }

    config = Config.from_env(GOOD | typed)

    assert (config.env, config.admin_email, config.trusted_proxies) == ("production", "boss@example.com", 1)
    assert config.mail_from == "ImpacterAGI <hello@impacteragi.com>"
    assert config.stripe_webhook_secrets == Config.from_env(GOOD).stripe_webhook_secrets
    assert Config.from_env(LOCAL | {"STRIPE_API_BASE": "http://127.0.0.1:1/"}).stripe_api_base == "http://127.0.0.1:1"


def test_a_sender_with_quotes_of_its_own_keeps_them():
    sender = '"ImpacterAGI, Inc." <hello@impacteragi.com>'

    assert Config.from_env(GOOD | {"MAIL_FROM": sender}).mail_from == sender


def test_the_key_that_signs_is_taken_letter_by_letter():
    """One that was in use with its quotes has sealed second factors with them."""
    quoted = f'"{GOOD["JWT_SECRET"]}"'

    assert Config.from_env(GOOD | {"JWT_SECRET": quoted}).jwt_secrets == (quoted,)


@pytest.mark.parametrize(
    ("variable", "value"), [("ADMIN_EMAIL", "boss"), ("SUPPORT_EMAIL", "us at home"), ("MAIL_FROM", "ImpacterAGI")]
)
def test_an_address_that_is_none_is_refused_by_name(variable, value):
    with pytest.raises(ConfigError, match=variable):
        Config.from_env(GOOD | {variable: value})


def test_trailing_slash_of_the_address_is_dropped():
    assert Config.from_env(GOOD | {"APP_URL": "https://dashboard.impacteragi.com/"}).app_url.endswith(".com")


@pytest.mark.threat(73)
@pytest.mark.parametrize("command", [["-c", "import app.wsgi"], ["scripts/setup_db.py"]])
def test_process_ends_with_the_sentence_and_no_trace(command):
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO)} | GOOD
    del environ["JWT_SECRET"]

    run = subprocess.run([sys.executable, *command], cwd=REPO, env=environ, capture_output=True, text=True)

    assert run.returncode == 1
    assert "JWT_SECRET is not set" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.threat(103)
def test_what_is_sold_as_credits_is_nothing_unless_it_is_named():
    named = {"CREDIT_PAYMENT_LINKS": "plink_1, plink_2,", "CREDIT_PRICES": "price_1", "CREDIT_PRODUCTS": "prod_1"}

    none, some = Config.from_env(GOOD), Config.from_env(GOOD | named)

    assert (none.credit_payment_links, none.credit_prices, none.credit_products) == ((), (), ())
    assert some.credit_payment_links == ("plink_1", "plink_2")
    assert (some.credit_prices, some.credit_products) == (("price_1",), ("prod_1",))


def test_a_folder_of_pages_that_is_not_there_is_refused_by_name(tmp_path):
    assert Config.from_env(GOOD | {"PAGES_DIR": str(tmp_path)}).pages_dir == str(tmp_path)

    with pytest.raises(ConfigError, match="PAGES_DIR"):
        Config.from_env(GOOD | {"PAGES_DIR": str(tmp_path / "none")})
