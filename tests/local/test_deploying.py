"""scripts/deploy against an emulator: the order, a run that was broken off, what it refuses, and the way back."""

import base64
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Self

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from scripts.deployment import __main__ as command_line
from scripts.deployment.image import Images
from scripts.deployment.running import Running
from scripts.deployment.settings import DeployError, Settings, read_settings
from scripts.deployment.stacks import Stack, indexes, one_index_at_a_time
from scripts.deployment.steps import TEMPLATES, Deployment, new_settings, read_template
from scripts.local.aws import LocalAws

# What the emulator does not know: cfn-lint alone looks at these (test_deploy.py).
NOT_EMULATED = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EC2::PrefixList",
}
SMALL = Settings("dashboard.example.com", "Us <hello@example.com>", "oncall@example.com", size="Small")
STANDARD = Settings(
    "dashboard.example.com", "Us <hello@example.com>", "oncall@example.com", size="Standard", name="big"
)
KEYS = {
    "STRIPE_SECRET_KEY": "rk_live_" + "0c5d1f9e7ab8426390" * 2,
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "0c5d1f9e7ab8426390" * 2,
    "TUNNEL_TOKEN": "0c5d1f9e7ab8426390" * 4,
}
ONE, TWO = "registry/dashboard@sha256:" + "1" * 64, "registry/dashboard@sha256:" + "2" * 64


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Of its own: these stacks have the names of production."""
    with LocalAws() as aws:
        yield aws.endpoint_url


@pytest.fixture
def client(endpoint: str) -> Callable[[str], Any]:
    @cache
    def made(service: str, region: str = "us-east-1") -> Any:
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=endpoint, region_name=region, **keys)

    if not made("sesv2").list_email_identities()["EmailIdentities"]:
        made("sesv2").create_email_identity(EmailIdentity="example.com")
    return made


def emulated(name: str) -> dict[str, Any]:
    """A template without what the emulator does not know, and without what refers to it."""
    template = read_template(TEMPLATES / f"{name}.yaml")
    resources = template["Resources"]
    gone = {each for each, resource in resources.items() if resource["Type"] in NOT_EMULATED}
    gone |= {each for each, resource in resources.items() if any(f'"{one}"' in json.dumps(resource) for one in gone)}
    template["Resources"] = {each: resource for each, resource in resources.items() if each not in gone}
    outputs = template.get("Outputs", {})
    template["Outputs"] = {
        each: value for each, value in outputs.items() if not any(f'"{one}"' in json.dumps(value) for one in gone)
    }
    return template


class Runs:
    """In the place of ECS, which would want an engine: answers as it is told, and keeps what it was asked."""

    def __init__(self, rings: set[str] | None = None, doctor: int = 0) -> None:
        self.asked: list[tuple[list[str], str, Mapping[str, str]]] = []
        self.rings, self.doctor = rings or set(), doctor

    def command(
        self, arguments: list[str], image: str = "", environment: Mapping[str, str] | None = None
    ) -> tuple[int, list[str]]:
        self.asked.append((arguments, image, environment or {}))
        return (self.doctor, ["WRONG  bucket: none"]) if "--before-release" in arguments else (0, ["right  reach"])

    def progress(self) -> str:
        return ""

    def ringing(self, prefix: str) -> set[str]:
        return set()

    def watch_alarms(self, prefix: str, before: set[str], seconds: float) -> set[str]:
        return self.rings


def deployment(client: Callable[[str], Any], settings: Settings, runs: Runs, **how: Any) -> Deployment:
    made = Deployment(settings, client, pause=lambda seconds: None, templates=emulated, **how)
    made._running = lambda: runs  # type: ignore[method-assign,assignment,return-value]
    return made


def give_keys(text: str) -> str:
    return KEYS[text.split()[0]]


def statuses(client: Callable[[str], Any], name: str) -> dict[str, str]:
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    return {
        each["StackName"]: each["StackStatus"]
        for each in stacks
        if each["StackName"].startswith(name) and each["StackStatus"] != "DELETE_COMPLETE"
    }


def test_from_nothing_to_a_release_to_the_next_and_back(client, capsys) -> None:
    runs = Runs()
    dry = deployment(client, SMALL, runs, dry_run=True)
    dry.run(ONE)
    assert statuses(client, "dashboard") == {}, "a dry run has made something"
    assert runs.asked == []
    assert "dashboard-service: would be made, with " in capsys.readouterr().out

    with pytest.raises(DeployError, match="lacks STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, TUNNEL_TOKEN"):
        deployment(client, SMALL, runs).run(ONE)  # nobody sits there; what was made stays
    assert statuses(client, "dashboard") == {"dashboard": "CREATE_COMPLETE"}

    deployment(client, SMALL, runs, ask=give_keys).run(ONE)

    made = statuses(client, "dashboard")
    parts = ("", "-network", "-tables", "-backup", "-service")
    assert set(made) == {f"dashboard{part}" for part in parts}
    assert set(made.values()) <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    (migrated, *_), (checked, *_), (before, image, environment), (after, *_) = runs.asked
    assert (migrated, checked) == (["tables", "migrate"], ["books", "check"]), "the doctor would miss both"
    assert (before, image) == (["doctor", "--before-release"], ONE)
    assert environment["APP_URL"] == "https://dashboard.example.com"
    assert environment["MAIL_FROM"] == "Us <hello@example.com>"
    assert after == ["doctor", "--only", "reach"]
    stacks = deployment(client, SMALL, runs).stacks
    assert stacks.parameters("dashboard-service")["Serving"] == "yes"
    assert (stacks.parameters("dashboard-service")["OutboxOneKey"], environment["OUTBOX_ONE_KEY"]) == ("0", "0")

    capsys.readouterr()
    deployment(client, SMALL, runs, dry_run=True).run(TWO)
    shown = capsys.readouterr().out
    assert "SmallTask" in shown
    assert "dashboard-network: nothing to change" in shown
    assert stacks.parameters("dashboard-service")["Image"] == ONE

    deployment(client, SMALL, runs).run(TWO)
    assert [stacks.parameters("dashboard-service")[name] for name in ("Image", "PreviousImage")] == [TWO, ONE]
    assert stacks.parameters("dashboard-service")["OutboxOneKey"] == "0", "it stays"
    assert [asked[2]["OUTBOX_ONE_KEY"] for asked in runs.asked if asked[1]] == ["0", "0"], "and the doctor is told so"
    deployment(client, SMALL, runs).run(TWO)  # begun again: what ran before is still known
    assert stacks.parameters("dashboard-service")["PreviousImage"] == ONE

    deployment(client, SMALL, runs).rollback()
    assert [stacks.parameters("dashboard-service")[name] for name in ("Image", "PreviousImage")] == [ONE, TWO]

    asked = len(runs.asked)
    deployment(client, replace(SMALL, service={"Serving": "no"}), runs).run(ONE)  # while a backup is restored
    assert stacks.parameters("dashboard-service")["Serving"] == "no"
    assert len(runs.asked) == asked
    deployment(client, SMALL, runs).run(ONE)
    assert [stacks.parameters("dashboard-service")[name] for name in ("Serving", "PreviousImage")] == ["yes", TWO]

    with pytest.raises(DeployError, match="Not released"):
        deployment(client, SMALL, Runs(doctor=1)).run(TWO)
    assert stacks.parameters("dashboard-service")["Image"] == ONE
    with pytest.raises(DeployError, match="Gone back"):
        deployment(client, SMALL, Runs(rings={"dashboard-service-LedgerAlarm-1"})).run(TWO)
    assert stacks.parameters("dashboard-service")["Image"] == ONE


def test_the_secret_gets_what_the_settings_need_and_a_token_of_ours_is_made(client, capsys) -> None:
    """A task does not start without a key of the secret that it is handed."""
    manager = client("secretsmanager")
    arn = manager.create_secret(Name="some", SecretString=json.dumps(KEYS))["ARN"]
    more = {"BelievesTheEdge": "yes", "CloudflareZone": "example.com", "PrometheusGroup": "sg-1"}
    asking = replace(SMALL, service=more)

    deployment(client, SMALL, Runs()).secret(arn)
    assert "has all that is needed" in capsys.readouterr().out
    with pytest.raises(DeployError, match="lacks EDGE_SECRETS, CLOUDFLARE_API_TOKEN, or"):
        deployment(client, asking, Runs()).secret(arn)
    assert json.loads(manager.get_secret_value(SecretId=arn)["SecretString"]) == KEYS
    given = {"EDGE_SECRETS": "new-" * 8 + "," + "old-" * 8, "CLOUDFLARE_API_TOKEN": "cf_" + "0c5d1f9e" * 5}
    rolled = {name: value + "0" for name, value in KEYS.items()}

    def ask(text: str) -> str:
        manager.put_secret_value(SecretId=arn, SecretString=json.dumps(rolled))  # by somebody else, meanwhile
        return given[text.split()[0]]

    deployment(client, asking, Runs(), ask=ask).secret(arn)

    stored = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
    made = stored.pop("METRICS_TOKEN")
    assert stored == rolled | given
    assert len(made) == 64
    shown = capsys.readouterr().out
    assert "METRICS_TOKEN is made" in shown
    assert made not in shown
    deployment(client, asking, Runs()).secret(arn)
    assert "has all that is needed" in capsys.readouterr().out
    assert json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])["METRICS_TOKEN"] == made


COPIED = replace(SMALL, name="copied", copy_region="eu-west-1")


def test_the_copy_of_the_backup_is_made_first_and_the_service_is_told_of_both(client, capsys) -> None:
    dry = deployment(client, COPIED, Runs(), dry_run=True)
    assert set(dry.backup().values()) == {""}
    assert "its changes below are without them" in capsys.readouterr().out
    assert statuses(client, "copied") == {}

    made = deployment(client, COPIED, Runs())
    there, home = made.stacks.find, made.stacks.bring
    made.stacks.bring = broken_off  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        made.backup()
    made.stacks.bring = home  # type: ignore[method-assign]
    assert there("copied-backup") is None
    names = made.backup()
    assert made.backup() == names
    assert capsys.readouterr().out.count("copied-backup: nothing to change.") == 3

    abroad = client("cloudformation", "eu-west-1").describe_stacks(StackName="copied-backup")["Stacks"][0]
    assert {each["ParameterKey"]: each["ParameterValue"] for each in abroad["Parameters"]}["Part"] == "copy"
    (copy_bucket,) = [each["OutputValue"] for each in abroad["Outputs"]]
    here = made.stacks.parameters("copied-backup")
    assert (here["Part"], here["CopyBucket"]) == ("home", copy_bucket)
    assert names == {
        "BackupBucket": made.stacks.outputs("copied-backup")["Bucket"],
        "BackupCopyBucket": copy_bucket,
        "BackupCopyRegion": "eu-west-1",
    }
    given = new_settings(read_template(TEMPLATES / "service.yaml"), made._service(ONE, names))
    assert [given[f"BACKUP_{name}"] for name in ("BUCKET", "COPY_BUCKET", "COPY_REGION")] == list(names.values())


def test_a_bucket_that_holds_backups_is_never_made_another_part(client) -> None:
    """After the loss of a region somebody may deploy anew where the copy is."""
    deployment(client, replace(COPIED, name="moved"), Runs()).backup()
    anew = deployment(client, replace(COPIED, name="moved", region="eu-west-1", copy_region="us-east-1"), Runs())
    with pytest.raises(DeployError, match="moved-backup in us-east-1 is the backup's part home"):
        anew.backup()


def broken_off(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_copy_in_another_account_is_not_made_here_and_none_at_all_is_told_of(client, capsys) -> None:
    theirs = {"CopyBucket": "their-copy", "CopyAccount": "210987654321", "KeepDays": "40"}
    made = deployment(client, replace(COPIED, name="theirs", backup=theirs), Runs())
    assert made.backup()["BackupCopyBucket"] == "their-copy"
    assert made.stacks.parameters("theirs-backup")["KeepDays"] == "40"
    with pytest.raises(client("cloudformation").exceptions.ClientError, match="does not exist"):
        client("cloudformation", "eu-west-1").describe_stacks(StackName="theirs-backup")

    names = deployment(client, replace(SMALL, name="alone"), Runs()).backup()
    assert names["BackupBucket"]
    assert (names["BackupCopyBucket"], names["BackupCopyRegion"]) == ("", "")
    assert "No copy: copy_region is not set." in capsys.readouterr().out

    with pytest.raises(DeployError, match="has Part, which"):
        deployment(client, replace(COPIED, backup={"Part": "copy"}), Runs()).backup()


def test_where_a_collector_is_named_the_image_can_send_to_it() -> None:
    sending = replace(SMALL, service={"Collector": "http://collector:4318"})
    assert (SMALL.packages, SMALL.image_tag) == ("", "arm64")
    assert (sending.packages, sending.image_tag) == ("requirements-telemetry.txt", "arm64-telemetry")


def test_the_standard_size_has_its_certificate_its_balancer_and_two_private_subnets(client) -> None:
    runs = Runs()
    made = deployment(client, STANDARD, runs, ask=give_keys)
    made.templates = lambda name: with_addresses(emulated(name))
    # The tables have the same names as the small one's.
    made.tables = lambda: None  # type: ignore[method-assign]
    made.run(ONE)

    resources = client("cloudformation").describe_stack_resources(StackName="big-service")["StackResources"]
    kinds = [each["ResourceType"] for each in resources]
    assert kinds.count("AWS::ECS::Service") == 3
    assert "AWS::ElasticLoadBalancingV2::Listener" in kinds
    given = made.stacks.parameters("big-service")
    assert given["CertificateArn"].startswith("arn:")
    assert len(given["PrivateSubnets"].split(",")) == 2


def with_addresses(template: dict[str, Any]) -> dict[str, Any]:
    if "VpcId" in template["Outputs"]:
        template["Outputs"]["OriginPrefixListId"] = {"Value": "pl-1"}
    return template


def test_what_the_emulator_does_not_know_is_no_more_than_what_is_named(client) -> None:
    for path in sorted(TEMPLATES.glob("*.yaml")):
        unknown = {resource["Type"] for resource in read_template(path)["Resources"].values()} & NOT_EMULATED
        for kind in unknown:
            template = {"Resources": {"One": {"Type": kind, "Properties": {}}}}
            with pytest.raises(client("cloudformation").exceptions.ClientError, match="Unrecognized resource types"):
                client("cloudformation").create_stack(StackName="unknown", TemplateBody=json.dumps(template))


def test_a_stack_that_failed_at_first_is_removed_and_one_that_is_stuck_is_told_of(client, capsys) -> None:
    runs = Runs()
    made = deployment(client, SMALL, runs)
    good = {"Resources": {"One": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "one"}}}}
    fakes = Statuses(["ROLLBACK_COMPLETE", None])
    made.stacks._client = fakes
    made.stacks.bring(Stack("queue", good, {}))
    assert fakes.called[:2] == ["delete_stack", "create_change_set"]

    made.stacks._client = Statuses(["UPDATE_ROLLBACK_FAILED"])
    with pytest.raises(DeployError, match="queue is UPDATE_ROLLBACK_FAILED"):
        made.stacks.bring(Stack("queue", good, {}))

    made.stacks._client = fakes = Statuses(["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"])
    made.stacks.bring(Stack("queue", good, {}))
    assert "begun by an earlier run" in capsys.readouterr().out


class Statuses:
    """CloudFormation with one stack that goes through these states, and is then what was asked for."""

    def __init__(self, states: list[str | None]) -> None:
        self._states = states
        self.called: list[str] = []

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if state is None:
            told = {"Error": {"Code": "ValidationError", "Message": "Stack does not exist"}}
            raise ClientError(told, "DescribeStacks")
        return {"Stacks": [{"StackStatus": state}]}

    def create_change_set(self, **_: Any) -> None:
        self.called.append("create_change_set")
        self._states = ["CREATE_COMPLETE"]

    def delete_stack(self, **_: Any) -> None:
        self.called.append("delete_stack")

    def delete_change_set(self, **_: Any) -> None:
        pass

    def execute_change_set(self, **_: Any) -> None:
        self.called.append("execute_change_set")

    def describe_change_set(self, **_: Any) -> dict[str, Any]:
        return {"Status": "CREATE_COMPLETE", "Changes": []}

    def describe_stack_events(self, **_: Any) -> dict[str, Any]:
        return {"StackEvents": []}


def test_a_table_gets_one_index_in_an_update_and_the_last_is_what_is_wanted() -> None:
    wanted = read_template(TEMPLATES / "tables.yaml")
    there = copy.deepcopy(wanted)
    most = max(there["Resources"], key=lambda name: len(indexes(there["Resources"][name])))
    count = len(indexes(there["Resources"][most]))
    assert count > 1
    properties = there["Resources"][most]["Properties"]
    del properties["GlobalSecondaryIndexes"]
    keys = {key["AttributeName"] for key in properties["KeySchema"]}
    properties["AttributeDefinitions"] = [
        each for each in properties["AttributeDefinitions"] if each["AttributeName"] in keys
    ]

    steps = one_index_at_a_time(there, wanted)

    assert len(steps) == count
    assert steps[-1] == wanted
    before = there
    for step in steps:
        old, new = (indexes(each["Resources"][most]) for each in (before, step))
        assert len(new.keys() ^ old.keys()) == 1
        table = step["Resources"][most]["Properties"]
        used = {key["AttributeName"] for key in table["KeySchema"]}
        used |= {key["AttributeName"] for index in new.values() for key in index["KeySchema"]}
        assert {each["AttributeName"] for each in table["AttributeDefinitions"]} == used
        before = step
    assert one_index_at_a_time(wanted, wanted) == [wanted]


def test_the_settings_are_checked_all_at_once_and_what_nobody_reads_is_named(tmp_path) -> None:
    file = tmp_path / "deploy.toml"
    with pytest.raises(DeployError, match=r"copy deploy/aws/deploy.example.toml"):
        read_settings(file)
    file.write_text('host_name = "https://x"\nmail_from = "x"\nalarm_mail = "a@b.c"\nsize = "Tiny"\n')
    with pytest.raises(DeployError) as found:
        read_settings(file)
    assert all(word in str(found.value) for word in ("host_name", "mail_from", "Tiny"))
    file.write_text('host_name = "a.b"\nmail_from = "x@a.b"\nalarm_mail = "a@b.c"\nsiez = "Small"\n')
    with pytest.raises(DeployError, match="siez"):
        read_settings(file)
    assert read_settings(TEMPLATES / "deploy.example.toml").size == "Small"
    for wrong, told in (
        ('copy_region = "us-east-1"', "lost with the tables"),
        ('[service]\nBackupCopyBucket = "mine"', "BackupCopyBucket: copy_region and"),
        ('[backup]\nCopyBucket = "theirs"', "the region of CopyBucket"),
        ('[backup]\nCopyAccount = "210987654321"', "no CopyBucket"),
    ):
        file.write_text(f'host_name = "a.b"\nmail_from = "x@a.b"\nalarm_mail = "a@b.c"\n{wrong}\n')
        with pytest.raises(DeployError, match=told):
            read_settings(file)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (NoCredentialsError(), "Set AWS_PROFILE or sign in"),
        (ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "GetCallerIdentity"), "sign in anew"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "CreateChangeSet"), "an administrator's"),
        (ClientError({"Error": {"Code": "Throttling", "Message": ""}}, "CreateChangeSet"), "what was done stays"),
        (KeyboardInterrupt(), "start again to take it up"),
    ],
)
def test_every_failure_ends_in_a_sentence(monkeypatch, capsys, raised: BaseException, told: str) -> None:
    def client(*_: Any, **__: Any) -> Any:
        raise raised

    monkeypatch.setattr("scripts.deployment.__main__.boto3.client", client)
    settings = str(TEMPLATES / "deploy.example.toml")
    assert command_line.main(["--settings", settings, "--image", ONE]) == 1
    assert told in capsys.readouterr().err


def test_the_doctor_is_asked_with_the_settings_that_the_release_will_have() -> None:
    template = read_template(TEMPLATES / "service.yaml")
    given = new_settings(template, {"HostName": "new.example.com", "CreditPrices": "price_1", "TablePrefix": None})
    assert (given["APP_URL"], given["CREDIT_PRICES"]) == ("https://new.example.com", "price_1")
    assert (given["OTEL_EXPORTER_OTLP_ENDPOINT"], given["CLOUDFLARE_ZONE"]) == ("", "")  # nothing, which is no fault
    assert "TABLE_PREFIX" not in given  # as it is
    assert "FILES_BUCKET" not in given  # a resource's name, which the task has


class Registry:
    """ECR with the images that somebody has pushed."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}

    def describe_images(self, imageIds: list[dict[str, str]], **_: Any) -> dict[str, Any]:
        tag = imageIds[0]["imageTag"]
        if tag not in self.there:
            raise ClientError({"Error": {"Code": "ImageNotFoundException", "Message": ""}}, "DescribeImages")
        return {"imageDetails": [{"imageDigest": self.there[tag]}]}

    def get_authorization_token(self) -> dict[str, Any]:
        return {"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:once").decode()}]}


def test_an_image_is_built_pushed_and_then_known_by_its_digest_and_built_once(tmp_path, monkeypatch, capsys) -> None:
    registry, done = Registry(), []

    def run(command: list[str], what: str, told: str | None = None) -> None:
        done.append((command[1], told))
        if command[1] == "push":
            registry.there[command[2].rpartition(":")[2]] = "sha256:1"

    monkeypatch.setattr("scripts.deployment.image.run", run)
    monkeypatch.setattr("scripts.deployment.image.engine_at_hand", lambda: "docker")
    images = Images(registry, SMALL, "1.registry/dashboard")
    assert images.bring("abc-arm64") == "1.registry/dashboard@sha256:1"
    assert done == [("build", None), ("login", "once"), ("push", None)]
    assert images.bring("abc-arm64") == "1.registry/dashboard@sha256:1"
    assert len(done) == 3
    monkeypatch.setattr("scripts.deployment.image.engine_at_hand", lambda: None)
    with pytest.raises(DeployError, match="No docker, podman or buildah answers"):
        images.bring("def-arm64")


class Ecs:
    """A task that ends with this status, or never starts."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        self.registered: dict[str, Any] = {}

    def describe_task_definition(self, **_: Any) -> dict[str, Any]:
        kept = {"family": "dashboard-command", "cpu": "512", "taskRoleArn": "role"}
        return {"taskDefinition": {**kept, "containerDefinitions": [{"name": "command", "image": ONE}]}}

    def register_task_definition(self, **given: Any) -> dict[str, Any]:
        self.registered = given
        return {"taskDefinition": {"taskDefinitionArn": "next:1"}}

    def run_task(self, **given: Any) -> dict[str, Any]:
        self.started = given
        return {"tasks": [{"taskArn": "a/b/task"}], "failures": []}

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        container = {"name": "command"} | ({} if self.status is None else {"exitCode": self.status})
        return {"tasks": [{"lastStatus": "STOPPED", "stoppedReason": "CannotPull", "containers": [container]}]}


class Log:
    """Which hands on a page without a line before the one with all of them."""

    def get_paginator(self, call: str) -> Self:
        assert call == "filter_log_events"
        return self

    def paginate(self, logStreamNames: list[str], **_: Any) -> list[dict[str, Any]]:
        return [{"events": []}, {"events": [{"message": f"{logStreamNames[0]}\n"}]}]


def test_a_command_runs_in_the_new_image_beside_the_stacks_own_task_and_tells_its_end() -> None:
    outputs = dict.fromkeys(("Cluster", "CommandTask", "Logs", "TaskGroup", "TaskPublicIp"), "one")
    outputs["TaskSubnets"] = "a,b"
    ecs = Ecs(3)
    running = Running(ecs, Log(), None, outputs)
    assert running.command(["doctor"], TWO, {"APP_URL": "x"}) == (3, ["dashboard/command/task"])
    assert ecs.registered["containerDefinitions"][0]["image"] == TWO
    assert (ecs.registered["family"], ecs.registered["taskRoleArn"]) == ("dashboard-command-next", "role")
    (override,) = ecs.started["overrides"]["containerOverrides"]
    assert override["command"][-1] == "doctor"
    assert override["environment"] == [{"name": "APP_URL", "value": "x"}]
    with pytest.raises(DeployError, match="did not start: CannotPull"):
        Running(Ecs(None), Log(), None, outputs).command(["doctor"])
