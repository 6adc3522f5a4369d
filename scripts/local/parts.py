"""The command of each process of a local run: of scripts/run, which starts them all, and of compose.yaml."""

from scripts.local.ports import HOST
from scripts.local.processes import python
from scripts.local.settings import STRIPE_STANDIN, LocalSettings

DOCTOR_SECONDS = "300"


def commands(settings: LocalSettings, host: str = HOST) -> dict[str, list[str]]:
    """By name, in the order of their start; `sender`, `setup` and `demo` end by themselves.

    Servers listen on `host`; they ask each other on loopback, whatever that is.
    """
    flask = ("-m", "flask", "--app", "app.wsgi")
    ports = {name: str(port) for name, port in settings.ports.items()}
    listens = ("--host", host, "--port")
    aws_port = ports["LOCAL_AWS_PORT"]
    return {
        "aws": python(*("-m", "scripts.local.aws_server", *listens, aws_port, "--data", str(settings.var_dir / "aws"))),
        "sender": python("-m", "scripts.local.sender_identity"),
        "stripe": _stripe(settings, host),
        "mailbox": python(
            *("-m", "scripts.local.mailbox", *listens, ports["LOCAL_MAILBOX_PORT"], "--aws-port", aws_port)
        ),
        "setup": python("scripts/setup_db.py"),
        "demo": python("-m", "scripts.local.demo") if settings.demo_month else python(*flask, "demo", "seed"),
        "web": python("-m", "app.web.serve", *listens, ports["PORT"], "--workers", str(settings.workers)),
        "mail": python(*flask, "mail", "send", "--watch"),
        "books": python(*flask, "books", "attend", "--watch", "--hourly"),
        "doctor": python(*flask, "doctor", "--watch", "--keep", "--every", DOCTOR_SECONDS),
    }


def _stripe(settings: LocalSettings, host: str) -> list[str]:
    environment = settings.environment
    return python(
        *("-m", STRIPE_STANDIN, "--host", host, "--port", str(settings.ports["LOCAL_STRIPE_PORT"])),
        *("--state", str(settings.var_dir / "stripe")),
        *("--webhook-url", f"{settings.url('PORT')}/api/stripe/webhook"),
        *("--webhook-secret", environment["STRIPE_WEBHOOK_SECRET"].split(",")[0].strip()),
        *("--secret-key", environment["STRIPE_SECRET_KEY"]),
        *(["--states"] if settings.runs_aws and settings.runs_mailbox else []),
    )
