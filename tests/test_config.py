"""Settings: read once, checked early, refused in a sentence that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Config, ConfigError, Pack

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
