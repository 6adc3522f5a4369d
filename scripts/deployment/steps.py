"""The steps of a deployment, in their order. Each looks at what is there and does what is missing, so that a run that
was broken off is taken up by the next one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from botocore.exceptions import ClientError

from scripts.deployment.image import Images, commit
from scripts.deployment.running import Running
from scripts.deployment.settings import ARCHITECTURES, DeployError, Settings
from scripts.deployment.stacks import Stack, Stacks, load, one_index_at_a_time
from scripts.local.aws import REPO
from scripts.local.processes import say

TEMPLATES = REPO / "deploy" / "aws"
NO_IMAGE = "none"
# What the secret must have, how such a value begins, and where it comes from.
SECRETS = {
    "STRIPE_SECRET_KEY": (r"(sk|rk)_live_\w{20,}", "Stripe: Developers, API keys; a restricted key, rk_live_…"),
    "STRIPE_WEBHOOK_SECRET": (
        r"whsec_\w{20,}(,whsec_\w{20,})*",
        "Stripe: Workbench, Webhooks, the endpoint's own secret",
    ),
    "TUNNEL_TOKEN": (r"[A-Za-z0-9+/=_-]{60,}", "Cloudflare: Zero Trust, Networks, Tunnels, the tunnel's token"),
    "EDGE_SECRETS": (r"[^\s,]{32,}(,[^\s,]{32,})*", "what the Worker has as EDGE_SECRET"),
    "CLOUDFLARE_API_TOKEN": (r"[A-Za-z0-9_-]{40,}", "Cloudflare: My Profile, API Tokens; it may read this zone"),
    "METRICS_TOKEN": (r"[\w.~+/=-]{32,}", "what Prometheus shows, from the secret"),
}
# Which of them a deployment needs; JWT_SECRET is made with the secret, and what is ours alone when it is needed first.
NEEDED: dict[str, Callable[[Settings], bool]] = {
    "STRIPE_SECRET_KEY": lambda settings: True,
    "STRIPE_WEBHOOK_SECRET": lambda settings: True,
    "TUNNEL_TOKEN": lambda settings: settings.size == "Small",
    "EDGE_SECRETS": lambda settings: settings.service.get("BelievesTheEdge") == "yes",
    "CLOUDFLARE_API_TOKEN": lambda settings: bool(settings.service.get("CloudflareZone")),
    "METRICS_TOKEN": lambda settings: bool(settings.service.get("PrometheusGroup")),
}
OURS = ("METRICS_TOKEN",)
# When one of these begins to ring after a release, the release goes back by itself.
GO_BACK = ("NobodyServesAlarm", "ServerErrorsAlarm", "BalancerErrorsAlarm", "ErrorsAlarm", "LedgerAlarm")


@dataclass
class Deployment:
    """`client` makes a client for a service, in the settings' region unless one is named; `ask` asks a person for a
    secret and is None where nobody sits."""

    settings: Settings
    client: Callable[..., Any]
    dry_run: bool = False
    accept_unknown: bool = False
    watch_seconds: float = 300.0
    pause: Callable[[float], None] | None = None
    ask: Callable[[str], str] | None = None
    templates: Callable[[str], dict[str, Any]] = field(default=lambda name: read_template(TEMPLATES / f"{name}.yaml"))

    def __post_init__(self) -> None:
        self._waits = {"pause": self.pause} if self.pause else {}
        self.stacks = Stacks(self.client("cloudformation"), self.client("s3"), dry_run=self.dry_run, **self._waits)
        self._images: Images | None = None

    @property
    def service_name(self) -> str:
        return f"{self.settings.name}-service"

    def run(self, image: str = "") -> None:
        """Raises DeployError; what is done by then stays, and the next run goes on."""
        tag = "" if image else f"{commit()}-{self.settings.image_tag}"
        self.check()
        foundation = self.foundation()
        self.secret(foundation.get("SecretArn", ""))
        network = self.network()
        certificate = self.certificate()
        self.tables()
        backup = self.backup()
        image = image or self.image(tag, foundation.get("Repository", ""))
        self.release(image, {**foundation, **network, **certificate, **backup})

    def check(self) -> None:
        say("1. What has to be there already")
        who = self.client("sts").get_caller_identity()
        say(f"  AWS account {who['Account']}, region {self.settings.region}, as {who['Arn'].rpartition(':')[2]}")
        mail, identity = self.client("sesv2"), self.settings.mail_identity
        try:
            verified = mail.get_email_identity(EmailIdentity=identity)["VerifiedForSendingStatus"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NotFoundException":
                raise
            verified = None
        if not verified:
            raise DeployError(
                f"SES in {self.settings.region} {'has no' if verified is None else 'has not verified the'} identity "
                f"{identity}: create it there (SES, Identities), publish the DKIM records that it shows, and start "
                "again once it says verified. No mail would go out."
            )
        say(f"  SES may send as {identity}")
        if not mail.get_account().get("ProductionAccessEnabled"):
            say("  But it is in the sandbox: ask for production access (SES, Account dashboard); it takes about a day.")
            say("  Until then only verified addresses get mail; the rest waits.")

    def foundation(self) -> dict[str, str]:
        say("2. Registry, secret, budget")
        name = self.settings.name
        wanted = {"AlarmMail": self.settings.alarm_mail, "MonthlyBudget": str(self.settings.budget)}
        self.stacks.bring(Stack(name, self.templates("foundation"), wanted))
        outputs = self.stacks.outputs(name)
        self.stacks.bucket = outputs.get("Templates", "")
        return outputs

    def secret(self, arn: str) -> None:
        say("3. The secret")
        needed = [name for name in SECRETS if NEEDED[name](self.settings)]
        if not arn:
            asked = [name for name in needed if name not in OURS]
            say(f"  would be made, with a JWT_SECRET; {', '.join(asked)} would be asked for.")
            return
        client = self.client("secretsmanager")
        there: dict[str, str] = json.loads(client.get_secret_value(SecretId=arn)["SecretString"])
        missing = [name for name in needed if not re.fullmatch(SECRETS[name][0], there.get(name, ""))]
        if not missing:
            say("  has all that is needed.")
            return
        if self.dry_run:
            for name in missing:
                say(f"  lacks {name}, which would be {'made' if name in OURS else 'asked for'}.")
            return
        made = [name for name in missing if name in OURS and not there.get(name)]
        given = self._asked(arn, [name for name in missing if name not in made])
        given |= {name: token_hex(32) for name in made}
        # Read again: a person has taken their time, and somebody may have rolled another one meanwhile.
        there = json.loads(client.get_secret_value(SecretId=arn)["SecretString"]) | given
        client.put_secret_value(SecretId=arn, SecretString=json.dumps(there))
        for name in made:
            say(f"  {name} is made: {SECRETS[name][1]}.")
        say("  stored. It is read when a task starts.")

    def _asked(self, arn: str, names: list[str]) -> dict[str, str]:
        if names and self.ask is None:
            raise DeployError(
                f"The secret {arn} lacks {', '.join(names)}, or has what cannot be right: start scripts/deploy at a "
                "terminal, which asks for them, or put them into the secret (Secrets Manager)."
            )
        found = {}
        for name in names:
            value = self.ask(f"  {name} ({SECRETS[name][1]}): ").strip() if self.ask else ""
            if not re.fullmatch(SECRETS[name][0], value):
                raise DeployError(
                    f"That is no {name}: it looks like {SECRETS[name][0]}. Nothing was stored; start again."
                )
            found[name] = value
        return found

    def network(self) -> dict[str, str]:
        say("4. Network")
        name = f"{self.settings.name}-network"
        self.stacks.bring(Stack(name, self.templates("network"), {"Size": self.settings.size}))
        return self.stacks.outputs(name)

    def certificate(self) -> dict[str, str]:
        say("5. Certificate")
        if self.settings.size == "Small":
            say("  not needed: Cloudflare has one, and the tunnel is encrypted.")
            return {}
        name = f"{self.settings.name}-certificate"
        wanted = Stack(name, self.templates("certificate"), {"HostName": self.settings.host_name})
        self.stacks.bring(wanted, beside=self._dns_record)
        return self.stacks.outputs(name)

    def _dns_record(self) -> str:
        """What somebody has to put into DNS while the certificate is waited for."""
        acm = self.client("acm")
        for each in acm.list_certificates(CertificateStatuses=["PENDING_VALIDATION"])["CertificateSummaryList"]:
            if each["DomainName"] == self.settings.host_name:
                found = acm.describe_certificate(CertificateArn=each["CertificateArn"])["Certificate"]
                for option in found.get("DomainValidationOptions", []):
                    if record := option.get("ResourceRecord"):
                        return f"Put into DNS now, not proxied: {record['Name']} {record['Type']} {record['Value']}"
        return ""

    def tables(self) -> None:
        say("6. Tables")
        name, wanted = f"{self.settings.name}-tables", self.templates("tables")
        steps = [wanted]
        if self.stacks.find(name):
            steps = one_index_at_a_time(self.stacks.template(name), wanted)
        for number, template in enumerate(steps, start=1):
            if len(steps) > 1:
                say(f"  update {number} of {len(steps)}: DynamoDB makes one index of a table at a time")
                if self.dry_run and number > 1:
                    say("  its changes show once the one before it is done")
                    continue
            self.stacks.bring(Stack(name, template, {}))

    def backup(self) -> dict[str, str]:
        """The copy first, whose bucket the one here replicates to. Returns what service.yaml is told of both."""
        say("7. Backup")
        name, template, region = f"{self.settings.name}-backup", self.templates("backup"), self.settings.copy_region
        given: dict[str, str | None] = {key: str(value) for key, value in self.settings.backup.items()}
        if unknown := given.keys() - (template["Parameters"].keys() - {"Part"}):
            raise DeployError(f"[backup] has {', '.join(sorted(unknown))}, which backup.yaml does not know.")
        copy = self.settings.backup.get("CopyBucket", "")
        if copy:
            say(f"  The copy goes to {copy} in {region}, which somebody else looks after.")
        elif region:
            clients = (self.client("cloudformation", region), self.client("s3", region))
            there = Stacks(*clients, dry_run=self.dry_run, **self._waits)
            say(f"  In {region}:")
            keep_its_part(there, name, "copy", region)
            there.bring(Stack(name, template, {**given, "Part": "copy"}))
            copy = there.outputs(name).get("Bucket", "")
        else:
            say("  No copy: copy_region is not set. What takes the account's tables takes the backup, too.")
        keep_its_part(self.stacks, name, "home", self.settings.region)
        self.stacks.bring(Stack(name, template, {**given, "Part": "home", "CopyBucket": copy}))
        home = self.stacks.outputs(name).get("Bucket", "")
        if not home:
            say("  The service is told their names once they are there: its changes below are without them.")
        return {"BackupBucket": home, "BackupCopyBucket": copy, "BackupCopyRegion": region if copy else ""}

    def image(self, tag: str, repository: str) -> str:
        say("8. Image")
        if not repository:
            say(f"  {tag} would be built and pushed.")
            return f"(the image of {tag})"
        images = Images(self.client("ecr"), self.settings, repository)
        if self.dry_run:
            there = images.digest(tag)
            say(f"  {tag} is in the registry already." if there else f"  {tag} would be built and pushed.")
            return there or f"{repository}:{tag}"
        return images.bring(tag)

    def release(self, image: str, outputs: Mapping[str, str]) -> None:
        say("9. Release")
        there = self.stacks.parameters(self.service_name)
        wanted = self._service(image, outputs)
        if there.get("Image") not in (None, image):
            wanted["PreviousImage"] = there["Image"]
        if not there:
            wanted.setdefault("OutboxOneKey", "0")  # there is no release before it
        template = self.templates("service")
        if self.dry_run:
            say("  The doctor would be asked first, in this image and with these settings.")
            self.stacks.bring(Stack(self.service_name, template, wanted))
            return
        if wanted.get("Serving") == "no":
            self.stacks.bring(Stack(self.service_name, template, wanted))
            say("Nothing serves, as the settings say: commands run alone. Take Serving out there, and start again.")
            return
        if not there or (there.get("Serving") == "no" and there.get("PreviousImage") == NO_IMAGE):
            say("  The first time: everything but what serves, so that the doctor can look.")
            self.stacks.bring(Stack(self.service_name, template, {**wanted, "Serving": "no"}))
            wanted.pop("PreviousImage", None)
            self._begin_the_tables(self._running())
        running = self._running()
        kept = self.stacks.parameters(self.service_name)  # of what nobody says anything else
        self._ask_the_doctor(running, image, template, {**kept, **wanted})
        before = running.ringing(self.service_name)
        self.stacks.bring(Stack(self.service_name, template, {**wanted, "Serving": "yes"}), beside=running.progress)
        self._watch(self._running(), before)

    def _service(self, image: str, outputs: Mapping[str, str]) -> dict[str, str | None]:
        settings = self.settings
        known = self.templates("service")["Parameters"]
        if unknown := settings.service.keys() - known.keys():
            raise DeployError(f"[service] has {', '.join(sorted(unknown))}, which service.yaml does not know.")
        return {
            "Size": settings.size,
            "Architecture": ARCHITECTURES[settings.architecture],
            "Image": image,
            "HostName": settings.host_name,
            "MailFrom": settings.mail_from,
            "MailIdentity": settings.mail_identity,
            "AlarmMail": settings.alarm_mail,
            **{name: outputs[name] for name in outputs if name in known},
            **settings.service,
        }

    def _running(self) -> Running:
        clients = (self.client("ecs"), self.client("logs"), self.client("cloudwatch"))
        return Running(*clients, self.stacks.outputs(self.service_name), **self._waits)

    def _ask_the_doctor(self, running: Running, image: str, template: Any, wanted: Mapping[str, str | None]) -> None:
        say("  The doctor looks, in this image and with these settings (some minutes) ...")
        status, lines = running.command(["doctor", "--before-release"], image, new_settings(template, wanted))
        shown = [line for line in lines if "WRONG" in line or "unknown" in line]
        for line in shown or lines[-3:]:
            say(f"    {line}")
        if status == 3 and self.accept_unknown:
            say("  Something cannot be told, which --accept-unknown takes.")
        elif status:
            raise DeployError(
                "Not released: the doctor finds the above. Each line has what mends it; then start again."
                + (" What cannot be told is taken with --accept-unknown." if status == 3 else "")
            )

    def _begin_the_tables(self, running: Running) -> None:
        """CloudFormation made them, and tells nobody that there is nothing to migrate; the books get a first check."""
        for arguments in (["tables", "migrate"], ["books", "check"]):
            say(f"  flask {' '.join(arguments)} ...")
            status, lines = running.command(arguments)
            if status:
                for line in lines[-6:]:
                    say(f"    {line}")
                raise DeployError(f"flask {' '.join(arguments)} ended with {status}: mend that, and start again.")

    def _watch(self, running: Running, before: set[str]) -> None:
        say(f"10. Watching for {self.watch_seconds:.0f} s, and whether {self.settings.host_name} leads to this release")
        status, lines = running.command(["doctor", "--only", "reach"])
        for line in lines[-6:]:
            say(f"    {line}")
        rings = running.watch_alarms(self.service_name, before, self.watch_seconds)
        bad = {name for name in rings if any(each in name for each in GO_BACK)}
        if bad and self._previous():
            self.rollback()
            raise DeployError(
                f"Gone back to the release before: {', '.join(sorted(bad))} began to ring. The log says why."
            )
        if bad or rings:
            raise DeployError(
                f"Released, but {', '.join(sorted(rings))} rings: docs/operating.md says what each means."
            )
        if status:
            raise DeployError(
                f"Released and healthy, but {self.settings.host_name} does not lead to it, as the lines above say. The "
                "first time its record comes next (deploy/aws/README.md, Cloudflare)."
            )
        say("Released.")

    def _previous(self) -> str:
        previous = self.stacks.parameters(self.service_name).get("PreviousImage", NO_IMAGE)
        return "" if previous == NO_IMAGE else previous

    def rollback(self) -> None:
        """The image before, with the template and the settings as they are; a second time goes forward again."""
        there, previous = self.stacks.parameters(self.service_name), self._previous()
        if not previous:
            raise DeployError("There is no release before this one: nothing to go back to.")
        say(f"Going back to {previous}")
        template = self.stacks.template(self.service_name)
        wanted = {"Image": previous, "PreviousImage": there["Image"]}
        self.stacks.bucket = self.stacks.outputs(self.settings.name).get("Templates", "")
        self.stacks.bring(Stack(self.service_name, template, wanted), beside=self._running().progress)


def keep_its_part(stacks: Stacks, name: str, part: str, region: str) -> None:
    """Raises DeployError where the stack is the other part: as this one it would lose its bucket, which has backups."""
    there = stacks.parameters(name).get("Part", part)
    if there != part:
        raise DeployError(
            f"{name} in {region} is the backup's part {there}, and its bucket holds backups: take another name or "
            "another region in the settings."
        )


def read_template(path: Path) -> dict[str, Any]:
    return load(path.read_text(encoding="utf-8"))


def new_settings(template: Mapping[str, Any], parameters: Mapping[str, str | None]) -> dict[str, str]:
    """The commands' environment as this release will have it, as far as parameters decide it."""
    (container,) = template["Resources"]["CommandTask"]["Properties"]["ContainerDefinitions"]
    known = {name: each.get("Default") for name, each in template["Parameters"].items()} | dict(parameters)
    found = {}
    for each in container["Environment"]:
        value = each["Value"]
        if isinstance(value, dict) and value.keys() == {"Ref"} and known.get(value["Ref"]) is not None:
            found[each["Name"]] = str(known[value["Ref"]])
        elif isinstance(value, dict) and value.keys() == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            found[each["Name"]] = re.sub(
                r"\$\{(\w+)\}", lambda name: str(known.get(name[1], name[0])), value["Fn::Sub"]
            )
    return found
