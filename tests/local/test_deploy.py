"""What is deployed fits the code: the tables, the settings, and what the task may touch."""

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml

from app.config import Config
from app.data.client import make_client
from app.data.table_setup import differences
from app.domain.heartbeats import SCHEDULED
from app.domain.payments import READERS
from app.gateways.files import TRIED
from app.services.backup.nightly import RESULTS
from app.services.backup.vault import EXPORTS
from app.telemetry.instruments import ALERT_KINDS
from app.telemetry.instruments import ALL as ALL_METRICS
from scripts.local.settings import PORTS

REPO = Path(__file__).resolve().parents[2]
SIZES = ("Standard", "Small")


def maker(name: str, folder: str = "deploy/aws") -> ModuleType:
    """A script of deploy that writes some of its files."""
    spec = importlib.util.spec_from_file_location(name, REPO / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def service() -> dict[str, Any]:
    resources: dict[str, Any] = yaml.safe_load((REPO / "deploy/aws/service.yaml").read_text())["Resources"]
    return resources


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: resource["Properties"] for name, resource in service().items() if resource["Type"] == kind}


def rows_of(path: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = (REPO / path).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    first = "| " + section.partition("\n| ")[2].partition("\n\n")[0]  # a section may have another one behind it
    lines = [line for line in first.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def scheduled_commands() -> dict[str, str]:
    """What runs, and when."""
    found = {}
    for schedule in of_type("AWS::Scheduler::Schedule").values():
        (override,) = json.loads(schedule["Target"]["Input"])["containerOverrides"]
        assert override["name"] == container("CommandTask")["Name"]
        assert override["command"][:5] == ["python", "-m", "flask", "--app", "app.wsgi"]
        found[" ".join(override["command"][5:])] = schedule["ScheduleExpression"]
    return found


def container(name: str) -> dict[str, Any]:
    (found,) = service()[name]["Properties"]["ContainerDefinitions"]
    return dict(found)


def at(size: str, value: Any) -> Any:
    """A part of the template as it is at one size."""
    if isinstance(value, dict) and value.keys() == {"Fn::If"} and value["Fn::If"][0] == "Standard":
        return at(size, value["Fn::If"][1 if size == "Standard" else 2])
    if isinstance(value, dict):
        return {key: at(size, each) for key, each in value.items()}
    return [at(size, each) for each in value] if isinstance(value, list) else value


def containers_of_the_app(size: str) -> list[dict[str, Any]]:
    names = ["WebTask", "MailTask", "BooksTask", "CommandTask"]
    if size == "Small":
        *ours, tunnel = at(size, service()["SmallTask"]["Properties"]["ContainerDefinitions"])
        assert tunnel["Name"] == "tunnel"
        return [*ours, at(size, container("CommandTask"))]
    return [at(size, container(name)) for name in names]


def test_the_deployed_tables_are_the_tables_of_the_app() -> None:
    made = maker("make_tables")
    assert made.TEMPLATE.read_text(encoding="utf-8") == made.template(), "run: python deploy/aws/make_tables.py"


def test_nothing_is_missing_when_the_tables_were_made_by_the_template(config: Config, dynamodb_url: str) -> None:
    prefix = "Deployed_"
    cloudformation = boto3.client("cloudformation", endpoint_url=dynamodb_url, region_name="us-east-1")

    cloudformation.create_stack(
        StackName="dashboard-tables",
        TemplateBody=(REPO / "deploy/aws/tables.yaml").read_text(),
        Parameters=[{"ParameterKey": "TablePrefix", "ParameterValue": prefix}],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="dashboard-tables", WaiterConfig={"Delay": 1})

    client = make_client(config, endpoint_url=dynamodb_url)
    assert differences(client, prefix) == []  # the emulator drops the time to live of a template
    for name in client.list_tables()["TableNames"]:
        if name.startswith(prefix):
            client.update_table(TableName=name, DeletionProtectionEnabled=False)
            client.delete_table(TableName=name)
    cloudformation.delete_stack(StackName="dashboard-tables")


def test_every_deployed_table_is_kept_and_can_be_restored() -> None:
    tables = yaml.safe_load((REPO / "deploy/aws/tables.yaml").read_text())["Resources"]
    assert len(tables) >= 3
    for table in tables.values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
        assert table["Properties"]["DeletionProtectionEnabled"] is True
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize(("size", "proxies"), [("Standard", "2"), ("Small", "1")])
def test_all_containers_get_settings_that_the_app_accepts(size: str, proxies: str) -> None:
    web, *others = containers_of_the_app(size)
    assert {"Name": "TRUSTED_PROXIES", "Value": proxies} in web["Environment"]
    assert len(others) == 3
    *_, commands = others
    zone = {"Name": "CLOUDFLARE_ZONE", "Value": {"Ref": "CloudflareZone"}}
    commands["Environment"].remove(zone)  # only the doctor asks Cloudflare
    assert named_secret(commands["Secrets"].pop()) == ("LooksAtCloudflare", "CLOUDFLARE_API_TOKEN")
    for other in others:
        assert (web["Environment"], web["Secrets"]) == (other["Environment"], other["Secrets"])
    filled_in = {
        "APP_URL": "https://dashboard.impacteragi.com",
        "AWS_REGION": "us-east-1",
        "TABLE_PREFIX": "ImpacterAGI_",
        "MAIL_FROM": "ImpacterAGI <hello@impacteragi.com>",
        "SUPPORT_EMAIL": "",
        "CREDIT_PAYMENT_LINKS": "plink_1N2b3C,plink_4D5e6F",
        "CREDIT_PRICES": "",
        "CREDIT_PRODUCTS": "",
        "FILES_BUCKET": "dashboard-files",
        "BACKUP_BUCKET": "dashboard-exports",
        "BACKUP_COPY_BUCKET": "dashboard-copy",
        "BACKUP_COPY_REGION": "eu-west-1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OUTBOX_ONE_KEY": "0",
        "JWT_SECRET": "0c5d1f9e7ab8426390" * 3,
        "METRICS_TOKEN": "41c8d0f7a2b96e3558" * 3,
        "EDGE_SECRETS": "7e20d4b91c5fa83612" * 3,
        "STRIPE_SECRET_KEY": "sk_live_" + "0c5d1f9e7ab8426390",
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "0c5d1f9e7ab8426390" * 2,
    }
    given = {entry["Name"]: entry["Value"] for entry in web["Environment"] if isinstance(entry["Value"], str)}
    secrets = [entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in web["Secrets"]]
    named = {entry["Name"] for entry in web["Environment"] + secrets}
    assert named == set(filled_in) | set(given)
    assert Config.from_env({**filled_in, **given}).is_production


def named_secret(entry: dict[str, Any]) -> tuple[str, str]:
    """The condition that a secret is handed over on, if any, and its name there and in the one secret."""
    condition, secret, nothing = entry.get("Fn::If", ("", entry, {"Ref": "AWS::NoValue"}))
    assert nothing == {"Ref": "AWS::NoValue"}
    assert secret["ValueFrom"] == {"Fn::Sub": f"${{SecretArn}}:{secret['Name']}::"}
    return condition, secret["Name"]


def test_a_secret_that_not_everybody_has_is_asked_for_where_a_parameter_says_so() -> None:
    """A task whose secret lacks a key does not start."""
    template = yaml.safe_load((REPO / "deploy/aws/service.yaml").read_text())
    handed = {
        named_secret(entry) for size in SIZES for each in containers_of_the_app(size) for entry in each["Secrets"]
    }
    assert {name: condition for condition, name in handed} == {
        "JWT_SECRET": "",
        "STRIPE_SECRET_KEY": "",
        "STRIPE_WEBHOOK_SECRET": "",
        "EDGE_SECRETS": "AsksForTheEdge",
        "METRICS_TOKEN": "IsMeasured",
        "CLOUDFLARE_API_TOKEN": "LooksAtCloudflare",
    }
    parameters, conditions = template["Parameters"], template["Conditions"]
    for condition, name in (("IsMeasured", "PrometheusGroup"), ("LooksAtCloudflare", "CloudflareZone")):
        assert conditions[condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]}
        assert parameters[name]["Default"] == "", "a deployment without it works"
    assert (parameters["Collector"]["Default"], parameters["BelievesTheEdge"]["Default"]) == ("", "no")


def test_the_web_server_may_do_nothing_but_read_and_write_items_and_files() -> None:
    (policy,) = service()["TaskRole"]["Properties"]["Policies"]
    text = json.dumps(policy)
    assert '"*"' not in text
    for action in ("CreateTable", "DeleteTable", "UpdateTable", "DeleteObject", "dynamodb:*", "ses:*", "s3:*", "iam:"):
        assert action not in text


def test_the_mail_sender_may_send_and_ask_how_much_and_has_no_file_in_its_hands() -> None:
    mail, web = (service()[role]["Properties"]["Policies"][0]["PolicyDocument"] for role in ("MailRole", "TaskRole"))
    *common, sends, asks = mail["Statement"]
    assert common == web["Statement"][: len(common)]
    assert [part["Sid"] for part in (*common, sends)] == ["Tables", "LedgerIsAppendOnly", "Mail"]
    assert (asks["Action"], service()["MailTask"]["Properties"]["TaskRoleArn"]) == (
        "ses:GetAccount",
        {"Fn::GetAtt": ["MailRole", "Arn"]},
    )


@pytest.mark.parametrize("role", ["TaskRole", "MailRole", "CommandRole"])
def test_nobody_may_change_or_remove_a_row_of_the_ledger_or_of_the_audit_log(role: str) -> None:
    (policy,) = service()[role]["Properties"]["Policies"]
    (denied,) = [part for part in policy["PolicyDocument"]["Statement"] if part["Effect"] == "Deny"]
    assert denied["Action"] == ["dynamodb:DeleteItem", "dynamodb:UpdateItem"]
    assert [where["Fn::Sub"].rpartition("}")[2] for where in denied["Resource"]] == ["Transactions", "Audit"]


def test_only_the_scheduled_commands_may_remove_files_and_they_may_do_nothing_else_with_them() -> None:
    (policy,) = service()["CommandRole"]["Properties"]["Policies"]
    tables, ledger, *files = [
        part for part in policy["PolicyDocument"]["Statement"] if not part["Sid"].startswith("Doctor")
    ]
    of_the_web = service()["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert [tables, ledger] == of_the_web[:2]
    assert [part["Action"] for part in files] == ["s3:DeleteObject", "s3:ListBucket"]


def test_the_doctor_may_look_and_write_nothing_but_its_own_file() -> None:
    (policy,) = service()["CommandRole"]["Properties"]["Policies"]
    parts = [part for part in policy["PolicyDocument"]["Statement"] if part["Sid"].startswith("Doctor")]
    writes = [part for part in parts if not re.fullmatch(r"(\w+:(Get|List|Describe)\w+ ?)+", actions_of(part))]
    (file,) = writes
    assert actions_of(file) == "s3:PutObject s3:GetObject s3:DeleteObject"
    assert file["Resource"] == {"Fn::Sub": "${Files.Arn}/" + f"{TRIED}*"}


def actions_of(part: dict[str, Any]) -> str:
    return " ".join([part["Action"]] if isinstance(part["Action"], str) else part["Action"])


def test_the_doctor_knows_what_is_scheduled() -> None:
    ends = {
        " ".join(command.split()[:2]).removesuffix(" --keep"): when for command, when in scheduled_commands().items()
    }
    assert ends.keys() - {"doctor"} == SCHEDULED.keys()
    for command, limit in SCHEDULED.items():
        assert (3 if ends[command].split()[1] == "*" else 26) == limit.total_seconds() / 3600


def test_the_scheduler_may_start_the_commands_task_and_nothing_else() -> None:
    (policy,) = service()["SchedulerRole"]["Properties"]["Policies"]
    run, hand_over = policy["PolicyDocument"]["Statement"]
    assert (run["Action"], run["Resource"]) == ("ecs:RunTask", {"Ref": "CommandTask"})
    assert hand_over["Action"] == "iam:PassRole"
    roles = service()["CommandTask"]["Properties"]
    assert hand_over["Resource"] == [roles["ExecutionRoleArn"], roles["TaskRoleArn"]]
    for schedule in of_type("AWS::Scheduler::Schedule").values():
        assert schedule["Target"]["EcsParameters"]["TaskDefinitionArn"] == {"Ref": "CommandTask"}


def test_every_command_that_the_docs_tell_to_run_has_its_schedule() -> None:
    documented = {}
    for command, when, *_ in rows_of("docs/operating.md", "Every night"):
        at = re.fullmatch(r"(\d\d):00", when)
        hour = str(int(at[1])) if at else "*"
        documented[command.strip("`")] = hour
    assert len(documented) >= 4
    assert {command: when.split()[1] for command, when in scheduled_commands().items()} == documented


def test_every_scheduled_command_logs_its_end_and_rings_when_it_did_not_end_well(app, caplog, monkeypatch) -> None:
    monkeypatch.setattr("app.services.doctor.examination.CHECKS", ())  # one of them goes out into the world
    alarms = {
        alarm["Dimensions"][0]["Value"]: alarm
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == "CommandsEndedWell"
    }
    for command, when in scheduled_commands().items():
        caplog.clear()
        app.test_cli_runner().invoke(args=command.split())

        (end,) = [record for record in caplog.records if record.getMessage() == "command ended"]
        alarm = alarms.pop(end.command)
        assert command.startswith(end.command)
        assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == ("breaching", "LessThanThreshold")
        hours_between = 1 if when.split()[1] == "*" else 24
        assert hours_between * 3600 < alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 24 * 3600
    assert alarms == {}


def test_the_deployed_alarms_are_those_of_the_table() -> None:
    made = maker("make_alarms")
    there = made.SERVICE.read_text(encoding="utf-8")
    assert there == made.template(there), "run: python deploy/aws/make_alarms.py"
    assert {name for name in service() if name.endswith(("Alarm", "Alerts"))} <= made.resources().keys()

    rules = made.RULES.read_text(encoding="utf-8")
    assert rules == made.rules(), "run: python deploy/aws/make_alarms.py"
    rung = {rule["alert"] for rule in yaml.safe_load(rules)["groups"][0]["rules"]}
    assert rung | {row["name"] for row in made.table()["alarm"] if "only_aws" in row} == set(made.alarms())


def asked_of_prometheus(query: str) -> list[tuple[str, set[str]]]:
    """The metrics of a query, each with the labels that it is chosen by."""
    found = re.findall(r"\b((?:dashboard|up)[a-z_0-9]*)(?:\{([^}]*)\})?", re.sub(r'"[^"]*"', '""', query))
    return [(name, set(re.findall(r"(\w+)=", chosen))) for name, chosen in found]


def queries() -> dict[str, list[str]]:
    rules = {row["name"]: [row["prometheus"]] for row in maker("make_alarms").table()["alarm"] if "prometheus" in row}
    panels = maker("make_dashboards", "deploy").panels()
    return rules | {panel["title"]: [query for query, _ in panel["prometheus"]] for panel in panels}


@pytest.mark.parametrize("name", queries())
def test_what_prometheus_is_asked_for_is_measured_under_these_labels(name: str) -> None:
    measured = {"up": {"job"}}
    for each in ALL_METRICS.values():
        labels = set(each.labels)
        parts = {"_bucket": labels | {"le"}, "_sum": labels, "_count": labels} if each.bounds else {"": labels}
        measured |= {each.prometheus_name + end: known for end, known in parts.items()}
    for query in queries()[name]:
        asked = asked_of_prometheus(query)
        assert asked, query
        assert query.count("(") == query.count(")")
        assert [(metric, chosen) for metric, chosen in asked if chosen - measured[metric]] == []
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            labels = {label.strip() for label in grouped.split(",")}
            assert all(labels <= measured[metric] for metric, _ in asked), query


def test_the_dashboards_are_those_of_the_table_and_show_what_there_is() -> None:
    made = maker("make_dashboards", "deploy")
    assert made.GRAFANA.read_text(encoding="utf-8") == made.grafana(), "run: python deploy/make_dashboards.py"
    there = made.SERVICE.read_text(encoding="utf-8")
    assert there == made.template(there), "run: python deploy/make_dashboards.py"
    known = {name for name, resource in service().items() if resource["Type"] == "AWS::Logs::MetricFilter"}
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    of_aws = {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms if isinstance(alarm["Namespace"], str)}
    words = "\n".join(path.read_text(encoding="utf-8") for path in (REPO / "app").rglob("*.py"))
    for panel in made.panels():
        assert len({"cloudwatch", "search", "logs"} & panel.keys()) == 1, panel["title"]
        for namespace, metric, *_ in panel.get("cloudwatch", []):
            assert metric in known if not namespace else (namespace, metric) in of_aws
        for said in re.findall(r'event = "([^"]+)"|event like /([^/]+)/', panel.get("logs", "")):
            assert next(filter(None, said)) in words, said


def test_the_small_size_shows_nothing_of_a_balancer() -> None:
    bodies = {name: each["DashboardBody"]["Fn::Sub"] for name, each in of_type("AWS::CloudWatch::Dashboard").items()}
    assert "LoadBalancer" in bodies["StandardDashboard"]
    assert "LoadBalancer" not in bodies["SmallDashboard"]
    assert all(json.loads(body)["widgets"] for body in bodies.values())


def test_an_alarm_without_a_threshold_and_a_name_given_twice_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = maker("make_alarms")
    for row in ({}, {"rings_from": 1, "rings_below": 1}, {"rings_from": 1}):
        with pytest.raises(made.Wrong, match="OddAlarm"):
            made.alarm("OddAlarm", "Says.", "Metric", **row)
    twice = {"name": "Odd", "pattern": "{ $.odd = 1 }"}
    monkeypatch.setattr(made, "table", lambda: {"filter": [twice, twice], "alarm": []})
    with pytest.raises(made.Wrong, match="Odd stands in"):
        made.resources()


def test_every_alarm_tells_somebody_counts_something_and_is_explained() -> None:
    counted = {
        transformation["MetricName"]
        for metric in of_type("AWS::Logs::MetricFilter").values()
        for transformation in metric["MetricTransformations"]
    }
    alarms = of_type("AWS::CloudWatch::Alarm")
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}], name
        assert alarm["Namespace"] != {"Ref": "AWS::StackName"} or alarm["MetricName"] in counted, name
    explained = {cells[0].strip("`") for cells in rows_of("docs/operating.md", "When an alarm comes")}
    assert explained == set(alarms)


def alerts_of(source: str) -> set[str]:
    """What a module logs under "alert"; the words themselves, so that a filter can be compared with them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            named = [value for key, value in zip(node.keys, node.values, strict=True) if is_word(key, "alert")]
        elif isinstance(node, ast.Call):
            named = [keyword.value for keyword in node.keywords if keyword.arg == "alert"]
        elif isinstance(node, ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Subscript)]
            named = [node.value for target in targets if is_word(target.slice, "alert")]
        else:
            continue
        for value in named:
            assert isinstance(value, ast.Constant), f"{ast.unparse(node)}: say the word itself"
            found.add(value.value)
    return found


def is_word(node: ast.AST | None, word: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == word


def test_each_way_to_log_an_alert_is_found() -> None:
    assert alerts_of('x = {"alert": "a"}; log.info("", extra=dict(alert="b")); said["alert"] = "c"') == {"a", "b", "c"}
    with pytest.raises(AssertionError):
        alerts_of('x = {"alert": kind}')


def test_each_alert_of_the_log_rings_at_the_first_line() -> None:
    logged = set().union(*(alerts_of(path.read_text(encoding="utf-8")) for path in (REPO / "app").rglob("*.py")))
    assert {"clock", "mail", "sale", "parked", "ledger"} <= logged
    rung = {}
    for metric in of_type("AWS::Logs::MetricFilter").values():
        if word := re.fullmatch(r'\{ \$\.alert = "(\w+)" \}', metric["FilterPattern"]):
            (counted,) = metric["MetricTransformations"]
            assert counted["MetricValue"] == "1"
            rung[word[1]] = counted["MetricName"]
    assert rung.keys() == logged == set(ALERT_KINDS), "Prometheus' rules count them from the start"
    alarms = {alarm["MetricName"]: alarm for alarm in of_type("AWS::CloudWatch::Alarm").values()}
    for metric_name in rung.values():
        alarm = alarms[metric_name]
        assert (alarm["Statistic"], alarm["Threshold"], alarm.get("DatapointsToAlarm", 1)) == ("Sum", 1, 1)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["EvaluationPeriods"] == 1 or "DatapointsToAlarm" in alarm, "one line may not be enough"
        assert alarm["TreatMissingData"] == "notBreaching"


def test_files_are_private_encrypted_and_forgotten_when_they_were_removed() -> None:
    files = service()["Files"]
    assert files["DeletionPolicy"] == files["UpdateReplacePolicy"] == "Retain"
    assert all(files["Properties"]["PublicAccessBlockConfiguration"].values())
    assert files["Properties"]["BucketEncryption"]
    removed, broken = files["Properties"]["LifecycleConfiguration"]["Rules"]
    assert files["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert removed["NoncurrentVersionExpiration"] == {"NoncurrentDays": 35}
    assert removed["ExpiredObjectDeleteMarker"] is True
    assert "AbortIncompleteMultipartUpload" in broken
    assert not {"ExpirationInDays", "ExpirationDate"} & (removed.keys() | broken.keys())  # no age limit


def backup() -> dict[str, Any]:
    resources: dict[str, Any] = yaml.safe_load((REPO / "deploy/aws/backup.yaml").read_text())["Resources"]
    return resources


@pytest.mark.parametrize("given", [{"Part": "copy"}, {"Part": "home", "CopyBucket": "the-copy"}], ids=["copy", "home"])
def test_both_parts_of_the_backup_can_be_made(dynamodb_url: str, given: dict[str, str]) -> None:
    """The emulator knows neither replication nor locks, and makes the rest."""
    cloudformation = boto3.client("cloudformation", endpoint_url=dynamodb_url, region_name="us-east-1")
    name = f"dashboard-backup-{given['Part']}"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=(REPO / "deploy/aws/backup.yaml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    (output,) = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    s3 = boto3.client("s3", endpoint_url=dynamodb_url, region_name="us-east-1")
    assert s3.get_bucket_versioning(Bucket=output["OutputValue"])["Status"] == "Enabled"
    cloudformation.delete_stack(StackName=name)


def test_both_buckets_of_the_backup_are_kept_private_encrypted_and_versioned_and_forget_old_exports() -> None:
    for name in ("Exports", "Copy"):
        bucket = backup()[name]
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
        assert bucket["Properties"]["BucketEncryption"]
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
        old, *_ = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert (old["Prefix"], old["ExpirationInDays"]) == (f"{EXPORTS}/", {"Ref": "KeepDays"})
        assert old["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}  # words of deleted accounts stay no longer
    assert backup()["Copy"]["Properties"]["ObjectLockEnabled"] is True
    forgotten = [r for r in backup()["Copy"]["Properties"]["LifecycleConfiguration"]["Rules"] if "Prefix" not in r]
    assert all("ExpirationInDays" not in rule for rule in forgotten), "files of results have no age limit"


def test_exports_and_files_are_replicated_and_the_doctor_looks_where_they_go() -> None:
    of_exports = backup()["Exports"]["Properties"]["ReplicationConfiguration"]["Fn::If"][1]["Rules"]
    of_files = service()["Files"]["Properties"]["ReplicationConfiguration"]["Fn::If"][1]["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in of_exports + of_files] == [f"{EXPORTS}/", RESULTS]
    # Exports that are removed stay in the copy; files of who deletes an account go there, too.
    states = [rule["DeleteMarkerReplication"]["Status"] for rule in of_exports + of_files]
    assert states == ["Disabled", "Enabled"]


def test_the_backup_removes_nothing() -> None:
    for name in ("CommandsBackUp", "CommandsLookAtTheCopy"):
        policy = service()[name]["Properties"]
        assert policy["Roles"] == [{"Ref": "CommandRole"}]
        assert "Delete" not in json.dumps(policy)
        assert RESULTS not in json.dumps(policy), "who checks the copy reads no result"
        assert '"*"' not in json.dumps(policy)


def test_the_events_asked_of_stripe_are_those_that_are_read() -> None:
    text = (REPO / "docs/stripe.md").read_text(encoding="utf-8")
    listen = re.search(r"stripe listen .*--events (\S+)", text)
    assert listen is not None
    assert set(listen[1].split(",")) == READERS.keys()
    asked: set[str] = set()
    for events in re.findall(r"^ *\| (`(?:checkout|refund|charge)\..*?) \|", text, re.MULTILINE):
        first, *rest = re.findall(r"`([^`]+)`", events)
        asked |= {first} | {first.rpartition(".")[0] + each if each.startswith(".") else each for each in rest}
    assert asked == READERS.keys()


@pytest.mark.parametrize("quoted", [r'"(/[^"]*)"', r"`(/[^`]*)`"])
def test_every_path_that_cloudflare_treats_apart_is_one_of_the_app(app, quoted: str) -> None:
    text = (REPO / "deploy/cloudflare/README.md").read_text(encoding="utf-8")
    paths = set(re.findall(quoted, text))
    known = {rule.rule for rule in app.url_map.iter_rules()}
    assert len(paths) >= 5
    assert [path for path in paths if not any(rule.startswith(path) for rule in known)] == []


def test_the_small_task_runs_what_the_services_of_the_standard_size_run() -> None:
    apart = {name: container(f"{name}Task") for name in ("Web", "Mail", "Books")}
    together = {each["Name"]: each for each in service()["SmallTask"]["Properties"]["ContainerDefinitions"]}
    for name, alone in apart.items():
        in_one = together[name.lower()]
        for part in ("Image", "Command", "User", "StopTimeout", "Secrets"):
            assert in_one.get(part) == alone.get(part), f"{name}: {part}"
    # No balancer asks whether it is ready: the tunnel waits for it, and a release that never is gets taken back.
    assert together["web"]["HealthCheck"]["Command"][-1].count("/readyz") == 1
    assert together["tunnel"]["DependsOn"] == [{"ContainerName": "web", "Condition": "HEALTHY"}]


def test_at_the_small_size_nobody_is_let_in() -> None:
    group = at("Small", service()["TaskGroup"]["Properties"])
    assert group["SecurityGroupIngress"] == {"Ref": "AWS::NoValue"}
    for name, resource in service().items():
        if resource["Type"].startswith("AWS::ElasticLoadBalancingV2"):
            assert resource["Condition"] == "Standard", name


def test_prometheus_comes_in_where_its_group_is_named_and_nowhere_else() -> None:
    (ingress,) = of_type("AWS::EC2::SecurityGroupIngress").values()
    assert service()["PrometheusMayAsk"]["Condition"] == "IsMeasured"
    assert ingress["SourceSecurityGroupId"] == {"Ref": "PrometheusGroup"}
    assert ingress["FromPort"] == ingress["ToPort"] == 8000


def test_cloudflares_addresses_are_those_of_the_list_and_what_is_none_is_refused() -> None:
    made = maker("make_addresses")
    there = made.NETWORK.read_text(encoding="utf-8")
    known = made.networks(made.LIST.read_text(encoding="utf-8"))
    assert there == made.template(there, known), "run: python deploy/aws/make_addresses.py"
    assert len(known) <= made.ROOM
    for wrong in ("<html>", "0.0.0.0/0\n" * 9, "10.0.0.0/16\n", ""):
        with pytest.raises(made.Wrong):
            made.networks(wrong)


def test_cfn_lint_finds_nothing_in_any_template() -> None:
    """Also what no emulator makes: of it this is the only check."""
    from cfnlint.api import lint

    for path in sorted((REPO / "deploy/aws").glob("*.yaml")):
        found = [
            each for each in lint(path.read_text(encoding="utf-8"), regions=["us-east-1"]) if each.rule.id[0] in "EW"
        ]
        assert [f"{path.name}: {each}" for each in found] == []


def test_the_image_holds_the_app_and_no_development_files() -> None:
    stages = (REPO / "Dockerfile").read_text().split("\nFROM ")
    production = [stages[1], stages[-1]]  # the others are of compose.yaml
    lines = [line for stage in production for line in stage.splitlines() if line.startswith("COPY")]
    copied = [path for line in lines if "--from" not in line for path in line.split()[1:-1]]
    assert copied == [
        "requirements-image.txt",
        "requirements-telemetry.txt",
        "scripts/images/packages.py",
        "app",
        "scripts/setup_db.py",
    ]
    assert all((REPO / path).exists() for path in copied)
    assert [line for line in lines if "--from" in line] == ["COPY --from=build /srv /srv"]
    assert "--require-hashes" in (REPO / "scripts/images/packages.py").read_text()
    assert "\nUSER 10001\n" in stages[-1]
    assert "HEALTHCHECK" in stages[-1]


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (REPO / "docs" / "operating.md").read_text(encoding="utf-8")))
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (REPO / "app" / "config.py").read_text(encoding="utf-8")))
    assert len(read) > 10
    assert read | set(PORTS) | {"VAR_DIR", "WEB_CONCURRENCY", "DEMO_PASSWORD", "DEMO_MONTH", "PYTHON"} <= documented
