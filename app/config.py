"""Every setting, read once from the environment into one frozen object; the only reader of `os.environ` in the app."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address
from urllib.parse import urlsplit

import idna
from email_validator import EmailNotValidError, validate_email

from app.domain.accounts import normalise_email
from app.domain.errors import InvalidInput

DEVELOPMENT, PRODUCTION = "development", "production"
MIN_SECRET_CHARACTERS = 32
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
GUESSABLE = ("secret", "changeme", "change-me", "password", "example", "default", "test", "dev", "impacteragi")


class ConfigError(Exception):
    """A setting is missing or wrong; the message is one sentence that names the variable."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack of credits for sale. The base rate is one credit for a cent; more than that is a bonus."""

    pack_id: str
    credits: int
    price_cents: int

    @property
    def bonus_credits(self) -> int:
        return self.credits - self.price_cents

    @property
    def saving_percent(self) -> int:
        return self.bonus_credits * 100 // self.credits


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one process. `from_env` documents each; docs/operating.md has the table."""

    env: str
    app_url: str
    jwt_secrets: tuple[str, ...]
    stripe_secret_key: str
    stripe_webhook_secrets: tuple[str, ...]
    aws_region: str = "us-east-1"
    dynamodb_endpoint_url: str | None = None
    ses_endpoint_url: str | None = None
    s3_endpoint_url: str | None = None
    stripe_api_base: str | None = None
    mail_from: str = "ImpacterAGI <hello@impacteragi.com>"
    support_email: str | None = None  # where pages and mails say that one can write to
    pages_dir: str | None = None  # a folder with contact.md, terms.md and privacy.md
    table_prefix: str = "ImpacterAGI_"
    trusted_proxies: int = 0
    cloudflare_api_token: str = ""  # with both the doctor looks at Cloudflare's settings
    cloudflare_zone: str = ""
    edge_secrets: tuple[str, ...] = ()  # what the edge signs the visitor's address with, newest first
    bcrypt_rounds: int = 12
    packs: tuple[Pack, ...] = ()
    admin_email: str | None = None
    signups_per_hour: int = 100
    require_operator_2fa: bool = True
    files_bucket: str = "impacteragi-results"
    backup_bucket: str | None = None  # where the nightly exports go
    backup_copy_bucket: str | None = None  # what they, and the results' files, are replicated to
    backup_copy_region: str | None = None
    adjust_limit: int = 5_000  # credits that one operator may add or take alone
    store_timeout_seconds: int = 2  # of one try of a call to DynamoDB
    store_short_way: bool = True  # off: botocore makes each try of a call to DynamoDB, by all of its layers
    store_patience_seconds: int = 4  # of deciding again when others were quicker, before it says "busy"
    clock_tolerance_seconds: int = 300  # beyond it the store's time stands in for the machine's; 0: never
    outbox_one_key: bool = True  # mails that wait stand where the release before looks for them, too
    credit_payment_links: tuple[str, ...] = ()  # what is sold as credits besides this app's own checkouts
    credit_prices: tuple[str, ...] = ()
    credit_products: tuple[str, ...] = ()
    otlp_endpoint: str | None = None  # a collector that metrics and traces are sent to
    webhook_trial_receivers: tuple[str, ...] = ()  # host:port that webhooks reach on this machine, in development
    webhook_trial_authority: str | None = None  # a file: whose certificates such a receiver may have
    metrics_token: str | None = None  # whoever shows it reads /metrics; without one that address is not there

    @property
    def is_production(self) -> bool:
        return self.env == PRODUCTION

    @property
    def livemode(self) -> bool:
        """Whether events of real money belong to this deployment: told by the key."""
        return self.stripe_secret_key.startswith(("sk_live_", "rk_live_"))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read and check all settings. Raises ConfigError with a sentence that names the variable."""
        read = _Reader(os.environ if environ is None else environ)
        env = read.text("APP_ENV", PRODUCTION).lower()
        if env not in (DEVELOPMENT, PRODUCTION):
            raise ConfigError(f"APP_ENV must be {DEVELOPMENT} or {PRODUCTION}, not {env!r}.")
        config = cls(
            env=env,
            app_url=_public_address(read.required("APP_URL")),
            jwt_secrets=read.several("JWT_SECRET", as_it_is=True),
            stripe_secret_key=read.required("STRIPE_SECRET_KEY"),
            stripe_webhook_secrets=read.several("STRIPE_WEBHOOK_SECRET"),
            aws_region=read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION", "us-east-1")),
            dynamodb_endpoint_url=read.text("DYNAMODB_ENDPOINT_URL", "") or None,
            ses_endpoint_url=read.text("SES_ENDPOINT_URL", "") or None,
            s3_endpoint_url=read.text("S3_ENDPOINT_URL", "") or None,
            stripe_api_base=read.text("STRIPE_API_BASE", "").rstrip("/") or None,
            mail_from=_sender(read.text("MAIL_FROM", "ImpacterAGI <hello@impacteragi.com>")),
            support_email=_address("SUPPORT_EMAIL", read.text("SUPPORT_EMAIL", "")) or None,
            pages_dir=_folder("PAGES_DIR", read.text("PAGES_DIR", "")) or None,
            table_prefix=read.text("TABLE_PREFIX", "ImpacterAGI_"),
            trusted_proxies=read.number("TRUSTED_PROXIES", 0, 0, 5),
            cloudflare_api_token=read.text("CLOUDFLARE_API_TOKEN", ""),
            cloudflare_zone=read.text("CLOUDFLARE_ZONE", ""),
            edge_secrets=read.several("EDGE_SECRETS") if read.text("EDGE_SECRETS", "") else (),
            bcrypt_rounds=read.number("BCRYPT_ROUNDS", 12, 4, 16),
            packs=_packs(read.text("CREDIT_PACKS", "1000:1000,5250:5000,11000:10000,57500:50000")),
            admin_email=_address("ADMIN_EMAIL", read.text("ADMIN_EMAIL", "")) or None,
            signups_per_hour=read.number("SIGNUPS_PER_HOUR", 100, 1, 100_000),
            require_operator_2fa=read.number("REQUIRE_OPERATOR_2FA", 1, 0, 1) == 1,
            files_bucket=read.text("FILES_BUCKET", "impacteragi-results"),
            backup_bucket=read.text("BACKUP_BUCKET", "") or None,
            backup_copy_bucket=read.text("BACKUP_COPY_BUCKET", "") or None,
            backup_copy_region=read.text("BACKUP_COPY_REGION", "") or None,
            adjust_limit=read.number("ADJUST_LIMIT", 5_000, 0, 1_000_000_000),
            store_timeout_seconds=read.number("STORE_TIMEOUT_SECONDS", 2, 1, 60),
            store_short_way=read.number("STORE_SHORT_WAY", 1, 0, 1) == 1,
            store_patience_seconds=read.number("STORE_PATIENCE_SECONDS", 4, 1, 600),
            clock_tolerance_seconds=read.number("CLOCK_TOLERANCE_SECONDS", 300, 0, 86_400),
            outbox_one_key=read.number("OUTBOX_ONE_KEY", 1, 0, 1) == 1,
            credit_payment_links=read.ids("CREDIT_PAYMENT_LINKS", "plink_"),
            credit_prices=read.ids("CREDIT_PRICES", "price_"),
            credit_products=read.ids("CREDIT_PRODUCTS", "prod_"),
            otlp_endpoint=_collector(read.text("OTEL_EXPORTER_OTLP_ENDPOINT", "")) or None,
            webhook_trial_receivers=_receivers(read.text("WEBHOOK_TRIAL_RECEIVERS", "")),
            webhook_trial_authority=_file("WEBHOOK_TRIAL_AUTHORITY", read.text("WEBHOOK_TRIAL_AUTHORITY", "")) or None,
            metrics_token=_bearer("METRICS_TOKEN", read.text("METRICS_TOKEN", "")) or None,
        )
        config._check()
        return config

    def _check(self) -> None:
        url = urlsplit(self.app_url)
        if not self.is_production:
            return
        if url.scheme != "https":
            raise ConfigError("APP_URL must start with https:// in production.")
        if self.stripe_api_base:
            raise ConfigError("STRIPE_API_BASE is for development only: unset it in production.")
        if self.webhook_trial_receivers or self.webhook_trial_authority:
            both = "WEBHOOK_TRIAL_RECEIVERS and WEBHOOK_TRIAL_AUTHORITY"
            raise ConfigError(f"{both} are for development only: unset them in production.")
        if not self.require_operator_2fa:
            raise ConfigError("REQUIRE_OPERATOR_2FA=0 is for development only: unset it in production.")
        if self.bcrypt_rounds < 10:
            raise ConfigError("BCRYPT_ROUNDS must be at least 10 in production.")
        for variable, endpoint in (
            ("DYNAMODB_ENDPOINT_URL", self.dynamodb_endpoint_url),
            ("SES_ENDPOINT_URL", self.ses_endpoint_url),
            ("S3_ENDPOINT_URL", self.s3_endpoint_url),
        ):
            if endpoint and not endpoint.lower().startswith("https://"):
                raise ConfigError(f"{variable} must start with https:// in production, or be unset.")
        for secret in self.jwt_secrets:
            _check_secret("JWT_SECRET", secret, MIN_SECRET_CHARACTERS)
        for secret in self.edge_secrets:
            _check_secret("EDGE_SECRETS", secret, MIN_SECRET_CHARACTERS)
        for secret in self.stripe_webhook_secrets:
            if not secret.startswith("whsec_"):
                raise ConfigError(
                    "STRIPE_WEBHOOK_SECRET must be the signing secret of the endpoint: it starts with whsec_."
                )
            _check_secret("STRIPE_WEBHOOK_SECRET", secret.removeprefix("whsec_"), 24)
        if not self.stripe_secret_key.startswith(("sk_live_", "rk_live_", "sk_test_", "rk_test_")):
            raise ConfigError("STRIPE_SECRET_KEY must be a Stripe secret key: it starts with sk_live_ or sk_test_.")
        _check_secret("STRIPE_SECRET_KEY", self.stripe_secret_key[8:], 16)
        if self.metrics_token:
            _check_secret("METRICS_TOKEN", self.metrics_token, MIN_SECRET_CHARACTERS)


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, variable: str, default: str) -> str:
        """The value without the spaces and the pair of quotes that files of settings leave around it."""
        return _unquoted(self._environ.get(variable, "")) or default

    def required(self, variable: str) -> str:
        value = self.text(variable, "")
        if not value:
            raise ConfigError(f"{variable} is not set. See docs/operating.md for every setting.")
        return value

    def several(self, variable: str, *, as_it_is: bool = False) -> tuple[str, ...]:
        """Keys, newest first. `as_it_is`: a key that was used with its quotes has signed and sealed with them."""
        text = self._environ.get(variable, "") if as_it_is else self.required(variable)
        values = tuple(part.strip() for part in text.split(",") if part.strip())
        if not values:
            raise ConfigError(f"{variable} is not set. See docs/operating.md for every setting.")
        return values

    def ids(self, variable: str, prefix: str) -> tuple[str, ...]:
        """Ids of Stripe's, comma separated; none is an answer too."""
        values = tuple(part.strip() for part in self.text(variable, "").split(",") if part.strip())
        for value in values:
            if not re.fullmatch(rf"{prefix}[A-Za-z0-9_-]{{1,200}}", value, re.ASCII):
                hint = " The id is not the address of its page: Stripe's dashboard shows both."
                raise ConfigError(
                    f"{variable} must hold ids like {prefix}1N2b3C, comma separated, not {value!r}."
                    + (hint if "/" in value else "")
                )
        return values

    def number(self, variable: str, default: int, low: int, high: int) -> int:
        text = self.text(variable, str(default))
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ConfigError(f"{variable} must be a whole number from {low} to {high}, not {text!r}.")
        return int(text)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _public_address(text: str) -> str:
    """APP_URL as browsers write an origin: small letters, punycode, no default port, no dot or slash at the end.

    Links, passkeys and the way back from Stripe are all bound to it, and compared with it letter by letter.
    """
    wrong = ConfigError("APP_URL must be the public address without a path, like https://dashboard.example.com.")
    try:
        url = urlsplit(text)
        port, host = url.port, (url.hostname or "").rstrip(".")
    except ValueError as error:
        raise wrong from error
    if url.scheme not in DEFAULT_PORTS or url.path.strip("/") or "#" in text or "?" in text:
        raise wrong
    if "@" in url.netloc:
        raise ConfigError("APP_URL must not hold a name or password: everybody is shown it.")
    host = _host(host)
    if not host or port == 0:
        raise wrong
    return f"{url.scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS[url.scheme] else "")


def _host(host: str) -> str:
    """A host name in ASCII, or an IP address as URLs write it; empty when it is neither."""
    with suppress(ValueError):
        found = ip_address(host)
        return f"[{found.compressed}]" if found.version == 6 else str(found)
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""
    labels = name.split(".")
    fine = all(HOST_LABEL.fullmatch(label) for label in labels) and len(name) <= 253
    return name if fine and not labels[-1].isdigit() else ""


def _address(variable: str, text: str) -> str:
    """A person's address as accounts are kept by it. Raises ConfigError."""
    try:
        return normalise_email(text) if text else ""
    except InvalidInput as error:
        raise ConfigError(f"{variable} must be an e-mail address, not {text!r}.") from error


def _bearer(variable: str, text: str) -> str:
    """A token as a header can carry it. Raises ConfigError."""
    if text and not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(f"{variable} must be one word of ASCII characters, such as from `openssl rand -hex 32`.")
    return text


def _collector(text: str) -> str:
    """The address that /v1/metrics and /v1/traces are below, without the slash at its end. Raises ConfigError."""
    if not text:
        return ""
    try:
        url = urlsplit(text)
        fine = url.scheme in DEFAULT_PORTS and bool(url.hostname) and url.port != 0 and "?" not in text
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT must be an address like http://127.0.0.1:4318 (OTLP over HTTP), not {text!r}."
        )
    return text.rstrip("/")


def _receivers(text: str) -> tuple[str, ...]:
    """Names with their ports. Raises ConfigError."""
    found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for one in found:
        host, _, port = one.rpartition(":")
        if not _host(host) or "." not in host or not port.isdigit() or not 1024 <= int(port) <= 65_535:
            raise ConfigError(f"WEBHOOK_TRIAL_RECEIVERS must hold names like receiver.test:8443, not {one!r}.")
    return found


def _file(variable: str, text: str) -> str:
    """A file that is there. Raises ConfigError."""
    if text and not os.path.isfile(text):
        raise ConfigError(f"{variable} must be a file that is there, not {text!r}.")
    return text


def _folder(variable: str, text: str) -> str:
    """A folder that is there. Raises ConfigError."""
    if text and not os.path.isdir(text):
        raise ConfigError(f"{variable} must be a folder that is there, not {text!r}.")
    return text


def _sender(text: str) -> str:
    """`Name <address>` or an address alone. Raises ConfigError."""
    try:
        validate_email(parseaddr(text)[1], check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise ConfigError(f"MAIL_FROM must look like ImpacterAGI <hello@example.com>, not {text!r}.") from error
    return text


def _check_secret(variable: str, secret: str, minimum: int) -> None:
    """Raises ConfigError."""
    if flaw := flaw_of_secret(secret, minimum):
        raise ConfigError(f"{variable} {flaw}.")


def flaw_of_secret(secret: str, minimum: int) -> str:
    """Why it will not do: a person made it up, too short, of too few different characters, or out of every example.
    Empty when it will.
    """
    if len(secret) < minimum:
        return f"is too short: use at least {minimum} random characters"
    folded = secret.lower()
    guessable = sum(len(word) * folded.count(word) for word in GUESSABLE) * 3 > len(secret)
    if len(set(secret)) < 10 or guessable:
        return "can be guessed: use random characters, such as from `openssl rand -hex 32`"
    return ""


def _packs(text: str) -> tuple[Pack, ...]:
    """`credits:price_cents`, comma separated."""
    packs = []
    for part in text.split(","):
        credits, _, price = part.strip().partition(":")
        if not (credits.isascii() and credits.isdigit() and price.isascii() and price.isdigit()):
            raise ConfigError(f"CREDIT_PACKS must look like 1000:1000,5250:5000 (credits:cents), not {part.strip()!r}.")
        if int(credits) < int(price) or int(price) < 50:
            raise ConfigError(f"CREDIT_PACKS: {part.strip()!r} sells below the base rate or for less than 50 cents.")
        packs.append(Pack(f"pack-{int(credits)}", int(credits), int(price)))
    return tuple(sorted(packs, key=lambda pack: pack.price_cents))
