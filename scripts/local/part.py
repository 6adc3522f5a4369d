"""One process of the local set, for a container of compose.yaml: `python -m scripts.local.part web`.

It becomes that process, with the settings that scripts/run would give it; `flask …` is any command of the app. --ready
asks a server instead, and ends with 0 when it answers.
"""

import os
import sys

from scripts.local.aws import is_ready
from scripts.local.parts import commands
from scripts.local.ports import answers
from scripts.local.settings import REPO, LocalSettings, SettingsError, local_settings

ASKED_AT = {
    "stripe": ("LOCAL_STRIPE_PORT", "/_control/health"),
    "mailbox": ("LOCAL_MAILBOX_PORT", "/healthz"),
    "web": ("PORT", "/healthz"),
}


def main(arguments: list[str]) -> int:
    name, *rest = arguments or ["--help"]
    try:
        settings = local_settings(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    known = commands(settings, os.environ.get("LOCAL_HOST", "0.0.0.0"))  # noqa: S104 - of a container
    if name == "flask":
        command = [sys.executable, "-m", "flask", "--app", "app.wsgi", *rest]
    elif name not in known:
        print(f"{name!r} is no process of the local set: it has {', '.join(known)}, and flask …", file=sys.stderr)
        return 2
    elif rest == ["--ready"]:
        return 0 if ready(name, settings) else 1
    else:
        command = known[name]
    os.chdir(REPO)
    return os.execve(command[0], command, dict(settings.environment))  # noqa: S606 - the same process, another program


def ready(name: str, settings: LocalSettings) -> bool:
    if name == "aws":
        return is_ready(settings.ports["LOCAL_AWS_PORT"])
    port, path = ASKED_AT[name]
    return answers(settings.ports[port], path) == 200


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
