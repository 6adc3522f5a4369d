"""Every call to AWS that the app makes is granted to whoever makes it, and nothing else is granted to anybody."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore import xform_name

REPO = Path(__file__).resolve().parents[2]
WEB, MAIL, COMMANDS = "TaskRole", "MailRole", "CommandRole"
EVERYBODY, ADMINISTRATOR = {WEB, MAIL, COMMANDS}, set()  # of an administrator: scripts/setup_db.py, scripts/restore
OF_AWS = {
    "app/data": "dynamodb",
    "app/gateways/files.py": "s3",
    "app/gateways/depots.py": "s3",
    "app/gateways/ses.py": "sesv2",
}

# Who makes the calls of a function. What is new has to be decided here, and then granted in service.yaml.
CALLERS: dict[str, set[str]] = {
    "accounts._email_in_index": EVERYBODY,
    "accounts.search": EVERYBODY,
    "base._get": EVERYBODY,
    "base._get_many": EVERYBODY,
    "base._query_from": EVERYBODY,
    "base._scan_pages": EVERYBODY,
    "base._update_row": EVERYBODY,
    "client._failed": EVERYBODY,
    "clock.read_clock": EVERYBODY,
    "direct._ask": EVERYBODY,
    "ledger.links_of": EVERYBODY,
    "migrations._pages": {COMMANDS},
    "payments.count_not_ours": EVERYBODY,
    "queue._counts": EVERYBODY,
    "queue._shard": EVERYBODY,
    "queue.count": EVERYBODY,
    "recovery.begin_export": {COMMANDS},
    "recovery.export": {COMMANDS},
    "recovery.exports_since": {COMMANDS},
    "recovery.restore": ADMINISTRATOR,
    "recovery.window": {COMMANDS},
    "table_copies.count": ADMINISTRATOR,
    "table_copies.described": ADMINISTRATOR,
    "table_copies.is_empty": ADMINISTRATOR,
    "table_copies.mark": ADMINISTRATOR,
    "table_copies.mark_of": ADMINISTRATOR,
    "table_copies.pages": ADMINISTRATOR,
    "table_copies.put": ADMINISTRATOR,
    "table_health._described": {COMMANDS},
    "table_health._is_recoverable": {COMMANDS},
    "table_setup._create": ADMINISTRATOR,
    "table_setup._make_index": ADMINISTRATOR,
    "table_setup._set_ttl": ADMINISTRATOR,
    "table_setup._ttl_of": {COMMANDS},
    "table_setup._wait": ADMINISTRATOR,
    "table_setup.create_tables": ADMINISTRATOR,
    "table_setup.differences": EVERYBODY,
    "table_setup.expire": ADMINISTRATOR,
    "table_setup.protect": ADMINISTRATOR,
    "tasks.versions": {WEB},
    "transaction._update_row": EVERYBODY,
    "transaction.check": EVERYBODY,
    "transaction.commit": EVERYBODY,
    "transaction.delete": EVERYBODY,
    "transaction.put": EVERYBODY,
    "whole.size": {COMMANDS},
    "depots._pages": {COMMANDS},
    "depots.open": {COMMANDS},
    "depots.region": {COMMANDS},
    "depots.remove": ADMINISTRATOR,
    "depots.replicas": {COMMANDS},
    "depots.write": {COMMANDS},
    "depots.write_new": {COMMANDS},
    "depots.written_at": {COMMANDS},
    "files._listed": {COMMANDS},
    "files.bucket_region": {COMMANDS},
    "files.create_bucket": ADMINISTRATOR,
    "files.find": {WEB},
    "files.link": {WEB},
    "files.put": {WEB},
    "files.put_back": ADMINISTRATOR,
    "files.read": {WEB},
    "files.remove_all": {COMMANDS},
    "files.round_trip": {COMMANDS},
    "files.sizes": {COMMANDS},
    "ses.identity": {COMMANDS},
    "ses.send": {MAIL},
    "ses.sending": {MAIL, COMMANDS},
    "ses.suppressed": {COMMANDS},
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/: where an action has another name than the call.
ACTIONS = {
    "transact_write_items": [],  # each of its parts asks for its own: "Put" and so on, below
    "Put": ["PutItem"],
    "Update": ["UpdateItem"],
    "Delete": ["DeleteItem"],
    "ConditionCheck": ["ConditionCheckItem"],
    "head_object": ["GetObject"],
    "head_bucket": ["ListBucket"],
    "list_objects_v2": ["ListBucket"],
    "get_bucket_replication": ["GetReplicationConfiguration"],
}
SERVICES = {"dynamodb": "dynamodb", "s3": "s3", "sesv2": "ses"}
PARTS = ("Put", "Update", "Delete", "ConditionCheck")
# What nobody calls and is granted all the same.
BESIDES = {
    (WEB, "s3:ListBucket"): "without it S3 answers 403 for a file that is not there",
    (COMMANDS, "s3:PutObjectAcl"): "DynamoDB writes an export with the rights of whoever asked for it",
    (COMMANDS, "s3:AbortMultipartUpload"): "the same",
}


@cache
def operations(service: str) -> dict[str, str]:
    names = boto3.client(service, region_name="us-east-1").meta.service_model.operation_names
    return {xform_name(name): name for name in names}


@cache
def calls() -> dict[str, set[str]]:
    """By function, the calls that it names: as an attribute of a client, or as a word that is handed on."""
    found: dict[str, set[str]] = defaultdict(set)
    for place, service in OF_AWS.items():
        known = {**operations(service), **dict.fromkeys(PARTS if service == "dynamodb" else ())}
        for path in [REPO / place] if place.endswith(".py") else sorted((REPO / place).glob("*.py")):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(function, ast.FunctionDef):
                    continue
                named = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
                named |= {
                    node.value
                    for node in ast.walk(function)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                }
                where = f"{path.stem}.{function.name}"
                if used := {f"{SERVICES[service]}:{name}" for name in named & known.keys()}:
                    found[where] |= used
    return found


def action(call: str) -> list[str]:
    service, _, name = call.partition(":")
    of_boto = {short: long for long, short in SERVICES.items()}[service]
    return [
        f"{service}:{each}" for each in ACTIONS.get(name) or ([] if name in ACTIONS else [operations(of_boto)[name]])
    ]


def resources() -> dict[str, Any]:
    return dict(yaml.safe_load((REPO / "deploy/aws/service.yaml").read_text(encoding="utf-8"))["Resources"])


def granted(role: str, size: str) -> set[str]:
    """What a role may do, with the policies that are attached to it at this size."""
    policies = list(resources()[role]["Properties"].get("Policies", []))
    for resource in resources().values():
        attached = resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"]["Roles"]
        if attached and resource.get("Condition", size) in (size, "BacksUp", "CopiesExports"):
            policies.append(resource["Properties"])
    return {
        each
        for policy in policies
        for part in policy["PolicyDocument"]["Statement"]
        if part["Effect"] == "Allow"
        for each in ([part["Action"]] if isinstance(part["Action"], str) else part["Action"])
    }


def needed(roles: set[str]) -> set[str]:
    return {
        each for where, called in calls().items() if CALLERS[where] & roles for call in called for each in action(call)
    }


def test_each_call_to_aws_has_somebody_who_makes_it() -> None:
    assert calls().keys() == CALLERS.keys()
    assert len({call for called in calls().values() for call in called}) > 25


@pytest.mark.parametrize(
    ("role", "size", "runs"),
    [
        (WEB, "Standard", {WEB}),
        (WEB, "Small", {WEB, MAIL}),  # one task, so one role
        (MAIL, "Standard", {MAIL}),
        (COMMANDS, "Standard", {COMMANDS}),
        (COMMANDS, "Small", {COMMANDS}),
    ],
)
def test_a_role_may_do_what_its_processes_call_and_nothing_else(role: str, size: str, runs: set[str]) -> None:
    besides = {granted for who, granted in BESIDES if who in runs}
    assert granted(role, size) >= needed(runs), "a call that is not granted"
    assert granted(role, size) - besides == needed(runs) - besides, "granted, and nobody calls it"


def test_no_call_is_made_of_a_name_that_a_client_has_not() -> None:
    """A client is asked by names that stand in its own file: what is made elsewhere would not be seen here."""
    places = [REPO / "app" / "data", REPO / "app" / "gateways"]
    made = [
        path
        for path in (REPO / "app").rglob("*.py")
        if not any(path.is_relative_to(place) for place in places)
        and any(
            word in path.read_text(encoding="utf-8") for word in ("import boto3", "import botocore", "from botocore")
        )
    ]
    assert made == []
