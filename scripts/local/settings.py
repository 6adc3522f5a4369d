"""The settings of a local run: what the shell gave, completed with defaults and with secrets made once and kept."""

import fcntl
import importlib.util
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.local.ports import HOST, free_port, is_free

REPO = Path(__file__).resolve().parents[2]
STRIPE_STANDIN = "scripts.local.stripe_standin"
# What a key made by Stripe looks like; anything shorter is a placeholder, and the stand-in stays in charge.
REAL_STRIPE_KEY = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]{24,}")
SIDE_PORTS = {"LOCAL_STRIPE_PORT", "LOCAL_MAILBOX_PORT"}
PORTS = {"PORT": 8000, "LOCAL_AWS_PORT": 4566, "LOCAL_STRIPE_PORT": 4242, "LOCAL_MAILBOX_PORT": 8025}
# What the app signs with is what local AWS knows: a link to a file opens by no other key.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
# A profile, a role or an endpoint that the shell names elsewhere must not come between the two.
NO_OTHER_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
AWS_ENDPOINTS = ("DYNAMODB_ENDPOINT_URL", "SES_ENDPOINT_URL", "S3_ENDPOINT_URL")
# Made at the first run in a VAR_DIR: name → prefix that the value needs.
GENERATED = {
    "JWT_SECRET": "",
    "STRIPE_WEBHOOK_SECRET": "whsec_",
    "STRIPE_SECRET_KEY": "sk_test_",
    "DEMO_PASSWORD": "demo-",
    "METRICS_TOKEN": "",
}


RUN_FILE = "run.json"  # the settings of the run that is running, for scripts/flask
LOCK_FILE = "run.lock"


class SettingsError(Exception):
    """A setting cannot be used; the message names the variable and what to do."""


@dataclass(frozen=True)
class LocalSettings:
    """Where everything of one run is, and the environment that its processes get."""

    var_dir: Path
    ports: Mapping[str, int]
    workers: int
    runs_aws: bool
    runs_mailbox: bool
    runs_stripe: bool
    demo_month: bool
    environment: Mapping[str, str]

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name]}"

    @property
    def ports_in_use(self) -> dict[str, int]:
        """The ports that this run listens on, by the variable that moves each."""
        wanted = {
            "PORT": True,
            "LOCAL_AWS_PORT": self.runs_aws,
            "LOCAL_STRIPE_PORT": self.runs_stripe,
            "LOCAL_MAILBOX_PORT": self.runs_mailbox,
        }
        return {name: port for name, port in self.ports.items() if wanted[name]}


def whole_number(given: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = given.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= highest:
        raise SettingsError(f"{name} is {text!r}: it must be a whole number from 1 to {highest}.")
    return int(text)


def kept_secrets(path: Path) -> dict[str, str]:
    """The secrets of this VAR_DIR; what is missing is made now, and the file is for its owner only."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        raise SettingsError(f"{path} is damaged: remove it, and new secrets are made.") from None
    missing = {name: prefix for name, prefix in GENERATED.items() if name not in kept}
    if missing:
        for name, prefix in missing.items():
            kept[name] = prefix + (secrets.token_hex(5) if name.startswith("DEMO_") else secrets.token_hex(24))
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
        fresh.replace(path)
    return dict(kept)


def make_var_dir(given: Mapping[str, str]) -> Path:
    var_dir = Path(given.get("VAR_DIR") or REPO / "var").expanduser().absolute()
    try:
        (var_dir / "log").mkdir(parents=True, exist_ok=True)
        var_dir.chmod(0o700)
        if not os.access(var_dir, os.W_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise SettingsError(f"VAR_DIR is {var_dir}, which cannot be written to: {error.strerror or error}.") from None
    return var_dir


def app_settings(app_url: str, aws_url: str) -> dict[str, str]:
    """What the app gets that runs on this machine over local AWS; the tests and the browser tests get the same."""
    return {
        "APP_ENV": "development",
        "STORE_TIMEOUT_SECONDS": "10",  # a busy laptop is slow, not broken
        "STORE_PATIENCE_SECONDS": "20",
        "REQUIRE_OPERATOR_2FA": "0",  # a newcomer can operate at once; docs/security.md says how to try it
        "APP_URL": app_url,
        "AWS_REGION": "us-east-1",
        "MAIL_FROM": "ImpacterAGI <hello@impacteragi.com>",
        **dict.fromkeys(AWS_ENDPOINTS, aws_url),
        **CREDENTIALS,
        **NO_OTHER_AWS,
    }


def forget_other_aws(given: Mapping[str, str]) -> dict[str, str]:
    """An environment without what the shell says of any AWS but the region."""
    return {name: value for name, value in given.items() if name in REGION or not name.startswith("AWS_")}


def past_any_proxy(given: Mapping[str, str]) -> dict[str, str]:
    """A proxy of the shell's is for the world outside: what runs on this machine is asked directly."""
    hosts = ",".join(filter(None, [given.get("no_proxy") or given.get("NO_PROXY"), HOST, "localhost"]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def has_stripe_standin() -> bool:
    """Whether the stand-in can be run with `python -m`."""
    spec = importlib.util.find_spec(STRIPE_STANDIN)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return spec is not None and (not is_package or importlib.util.find_spec(f"{STRIPE_STANDIN}.__main__") is not None)


def local_settings(given: Mapping[str, str]) -> LocalSettings:
    """Complete the given environment; whatever is set there wins, and an empty value counts as not set."""
    given = {name: value for name, value in given.items() if value}
    ports = {name: whole_number(given, name, default, 65535) for name, default in PORTS.items()}
    for name in SIDE_PORTS - given.keys():
        # A second run beside the first then only needs its own PORT, LOCAL_AWS_PORT and VAR_DIR.
        if not is_free(ports[name]):
            ports[name] = free_port()
    workers = whole_number(given, "WEB_CONCURRENCY", 2, 64)
    var_dir = make_var_dir(given)

    runs_mailbox = "SES_ENDPOINT_URL" not in given
    runs_aws = runs_mailbox or "DYNAMODB_ENDPOINT_URL" not in given
    has_stripe = bool(REAL_STRIPE_KEY.fullmatch(given.get("STRIPE_SECRET_KEY", "")))
    wants_standin = "LOCAL_STRIPE_PORT" in given or not has_stripe
    runs_stripe = "STRIPE_API_BASE" not in given and wants_standin and has_stripe_standin()
    defaults = app_settings(f"http://{HOST}:{ports['PORT']}", f"http://{HOST}:{ports['LOCAL_AWS_PORT']}")
    if given.keys().isdisjoint(AWS_ENDPOINTS):
        given = forget_other_aws(given)
    else:  # some of it is elsewhere, and wants the shell's own credentials: local AWS is told the same
        defaults = {name: value for name, value in defaults.items() if not name.startswith("AWS_")}
        if not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & given.keys():
            defaults |= CREDENTIALS
    if not runs_aws:
        defaults = {name: value for name, value in defaults.items() if name not in AWS_ENDPOINTS}
    defaults |= {
        **kept_secrets(var_dir / "secrets.json"),
        "AWS_REGION": given.get("AWS_DEFAULT_REGION", "us-east-1"),
        "VAR_DIR": str(var_dir),
        "WEB_CONCURRENCY": str(workers),
        "PYTHONUNBUFFERED": "1",
        **{name: str(port) for name, port in ports.items()},
    }
    if runs_stripe:
        defaults["CREDIT_PAYMENT_LINKS"] = "plink_credits"  # its book is set aside, as in production
        defaults["STRIPE_API_BASE"] = f"http://{HOST}:{ports['LOCAL_STRIPE_PORT']}"
    return LocalSettings(
        var_dir=var_dir,
        ports=ports,
        workers=workers,
        runs_aws=runs_aws,
        runs_mailbox=runs_mailbox,
        runs_stripe=runs_stripe,
        demo_month=runs_aws and runs_mailbox and runs_stripe and given.get("DEMO_MONTH", "1") != "0",
        environment={**defaults, **given, **past_any_proxy(given)},
    )


def keep_run_environment(var_dir: Path, environment: Mapping[str, str]) -> None:
    """Note what this run's processes got; the file is for its owner only."""
    fresh = var_dir / f"{RUN_FILE}.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(environment), file, indent=2)
    fresh.replace(var_dir / RUN_FILE)


def run_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the run that is running in VAR_DIR. Raises SettingsError when there is none."""
    var_dir = Path(given.get("VAR_DIR") or REPO / "var").expanduser().absolute()
    if not _is_running(var_dir / LOCK_FILE):
        raise SettingsError(f"No scripts/run is running in {var_dir}: start it first, or name its folder in VAR_DIR.")
    try:
        kept: dict[str, str] = json.loads((var_dir / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"The run in {var_dir} has not noted its settings yet: try again in a moment.") from None
    return {**given, **kept}


def _is_running(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
