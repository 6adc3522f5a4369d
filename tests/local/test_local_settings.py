"""The settings of a local run: what was given wins, what is missing is completed, what is wrong is named."""

import socket
import stat
from pathlib import Path

import pytest

from scripts.local.settings import CREDENTIALS, PORTS, SettingsError, local_settings


def test_a_bare_shell_gets_everything_it_needs(tmp_path: Path) -> None:
    settings = local_settings({"VAR_DIR": str(tmp_path / "var")})
    environment = settings.environment
    assert environment["APP_ENV"] == "development"
    assert environment["APP_URL"] == "http://127.0.0.1:8000"
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["DYNAMODB_ENDPOINT_URL"] == environment["SES_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["AWS_ACCESS_KEY_ID"]
    assert len(environment["JWT_SECRET"]) >= 32
    assert environment["STRIPE_WEBHOOK_SECRET"].startswith("whsec_")
    assert environment["STRIPE_SECRET_KEY"].startswith("sk_test_")


def test_secrets_are_made_once_and_are_for_their_owner_only(tmp_path: Path) -> None:
    sides = {"LOCAL_STRIPE_PORT": "4242", "LOCAL_MAILBOX_PORT": "8025"}  # or others, where these are taken
    given = {"VAR_DIR": str(tmp_path / "var")} | sides
    first, second = local_settings(given), local_settings(given)
    assert first == second
    assert (
        first.environment["JWT_SECRET"]
        != local_settings({"VAR_DIR": str(tmp_path / "other")}).environment["JWT_SECRET"]
    )
    assert stat.S_IMODE((tmp_path / "var" / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


def test_what_the_shell_sets_wins(tmp_path: Path) -> None:
    given = {
        "VAR_DIR": str(tmp_path),
        "JWT_SECRET": "mine",
        "PORT": "9000",
        "STRIPE_WEBHOOK_SECRET": "whsec_mine",
        "AWS_REGION": "eu-west-1",
        "MAIL_FROM": "",
    }
    environment = local_settings(given).environment
    assert environment["JWT_SECRET"] == "mine"
    assert environment["STRIPE_WEBHOOK_SECRET"] == "whsec_mine"
    assert environment["APP_URL"] == "http://127.0.0.1:9000"
    assert environment["AWS_REGION"] == "eu-west-1"
    assert environment["MAIL_FROM"], "an empty value counts as not set"


def test_no_other_aws_of_the_shell_comes_between_the_app_and_local_aws(tmp_path: Path) -> None:
    shell = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "of-the-account",
        "AWS_SESSION_TOKEN": "of-a-role",
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL_S3": "https://elsewhere.example.com",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "NO_PROXY": "intranet",
    }
    given = {"VAR_DIR": str(tmp_path), **shell}
    environment = local_settings(given).environment
    assert {name: environment.get(name) for name in CREDENTIALS} == CREDENTIALS
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} & environment.keys()
    assert environment["AWS_REGION"] == "eu-central-1"
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet,127.0.0.1,localhost"

    elsewhere = local_settings({**given, "DYNAMODB_ENDPOINT_URL": "https://dynamodb.eu-central-1.amazonaws.com"})
    assert {name: elsewhere.environment.get(name) for name in shell if "PROXY" not in name} == {
        name: value for name, value in shell.items() if "PROXY" not in name
    }


def test_local_aws_is_left_out_when_nothing_needs_it(tmp_path: Path) -> None:
    given = {"VAR_DIR": str(tmp_path), "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:8001"}
    partly = local_settings(given)
    assert partly.runs_aws, "mail still needs it"
    assert partly.environment["DYNAMODB_ENDPOINT_URL"] == "http://127.0.0.1:8001"
    fully = local_settings({**given, "SES_ENDPOINT_URL": "http://127.0.0.1:8002"})
    assert not fully.runs_aws
    assert "LOCAL_AWS_PORT" not in fully.ports_in_use
    assert "LOCAL_MAILBOX_PORT" not in fully.ports_in_use


def test_a_side_port_that_nobody_asked_for_gives_way(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.MonkeyPatch.context() as patch:
        port = taken.getsockname()[1]
        patch.setitem(PORTS, "LOCAL_MAILBOX_PORT", port)
        assert local_settings({"VAR_DIR": str(tmp_path)}).ports["LOCAL_MAILBOX_PORT"] != port
        asked = {"VAR_DIR": str(tmp_path), "LOCAL_MAILBOX_PORT": str(port)}
        assert local_settings(asked).ports["LOCAL_MAILBOX_PORT"] == port


@pytest.mark.parametrize(
    ("stripe", "runs"),
    [
        ({}, True),
        ({"STRIPE_SECRET_KEY": "sk_test_placeholder"}, True),
        ({"STRIPE_SECRET_KEY": "sk_test_" + "9a" * 12}, False),
        ({"STRIPE_SECRET_KEY": "sk_test_" + "9a" * 12, "LOCAL_STRIPE_PORT": "4299"}, True),
        ({"STRIPE_API_BASE": "http://127.0.0.1:1"}, False),
    ],
)
def test_the_stripe_stand_in_gives_way_to_stripe(tmp_path: Path, stripe: dict[str, str], runs: bool) -> None:
    settings = local_settings({"VAR_DIR": str(tmp_path), **stripe})
    assert settings.runs_stripe is runs
    assert ("STRIPE_API_BASE" in settings.environment) is (runs or "STRIPE_API_BASE" in stripe)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("PORT", "70000"), ("LOCAL_AWS_PORT", "-1"), ("WEB_CONCURRENCY", "0")]
)
def test_a_wrong_number_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is '{value}'"):
        local_settings({"VAR_DIR": str(tmp_path), name: value})


def test_a_var_dir_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^VAR_DIR is .*file/var"):
        local_settings({"VAR_DIR": str(tmp_path / "file" / "var")})
