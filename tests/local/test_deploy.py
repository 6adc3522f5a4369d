"""What is deployed fits the code: the tables, the settings, and what the task may touch."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from app.config import Config
from scripts.local.settings import PORTS

REPO = Path(__file__).resolve().parents[2]


def make_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tables", REPO / "deploy" / "aws" / "make_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def service() -> dict[str, Any]:
    resources: dict[str, Any] = yaml.safe_load((REPO / "deploy/aws/service.yaml").read_text())["Resources"]
    return resources


def container(name: str) -> dict[str, Any]:
    (found,) = service()[name]["Properties"]["ContainerDefinitions"]
    return dict(found)


def test_the_deployed_tables_are_the_tables_of_the_app() -> None:
    made = make_tables()
    assert made.TEMPLATE.read_text(encoding="utf-8") == made.template(), "run: python deploy/aws/make_tables.py"


def test_every_deployed_table_is_kept_and_can_be_restored() -> None:
    tables = yaml.safe_load((REPO / "deploy/aws/tables.yaml").read_text())["Resources"]
    assert len(tables) >= 3
    for table in tables.values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
        assert table["Properties"]["DeletionProtectionEnabled"] is True
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_both_containers_get_settings_that_the_app_accepts() -> None:
    web, mail = container("WebTask"), container("MailTask")
    assert (web["Environment"], web["Secrets"]) == (mail["Environment"], mail["Secrets"])
    filled_in = {
        "APP_URL": "https://dashboard.impacteragi.com",
        "AWS_REGION": "us-east-1",
        "TABLE_PREFIX": "ImpacterAGI_",
        "MAIL_FROM": "ImpacterAGI <hello@impacteragi.com>",
        "FILES_BUCKET": "dashboard-files",
        "JWT_SECRET": "0c5d1f9e7ab8426390" * 3,
        "STRIPE_SECRET_KEY": "sk_live_" + "0c5d1f9e7ab8426390",
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "0c5d1f9e7ab8426390" * 2,
    }
    given = {entry["Name"]: entry["Value"] for entry in web["Environment"] if isinstance(entry["Value"], str)}
    named = {entry["Name"] for entry in web["Environment"] + web["Secrets"]}
    assert named == set(filled_in) | set(given)
    assert Config.from_env({**filled_in, **given}).is_production


def test_the_task_may_do_nothing_but_read_and_write_items_and_files_and_send_mail() -> None:
    (policy,) = service()["TaskRole"]["Properties"]["Policies"]
    text = json.dumps(policy)
    assert '"*"' not in text
    for action in ("CreateTable", "DeleteTable", "UpdateTable", "DeleteObject", "dynamodb:*", "ses:*", "s3:*", "iam:"):
        assert action not in text


def test_the_image_holds_the_app_and_no_development_files() -> None:
    dockerfile = (REPO / "Dockerfile").read_text()
    copied = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("COPY") and "--from" not in line]
    assert copied == ["requirements.txt", "app", "scripts/setup_db.py"]
    assert all((REPO / path).exists() for path in copied)
    assert "--require-hashes" in dockerfile
    assert "\nUSER 10001\n" in dockerfile
    assert "HEALTHCHECK" in dockerfile


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (REPO / "docs" / "operating.md").read_text(encoding="utf-8")))
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (REPO / "app" / "config.py").read_text(encoding="utf-8")))
    assert len(read) > 10
    assert read | set(PORTS) | {"VAR_DIR", "WEB_CONCURRENCY", "DEMO_PASSWORD", "PYTHON"} <= documented
