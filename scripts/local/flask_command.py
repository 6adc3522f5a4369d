"""`flask …` with the settings of the scripts/run that is running; `scripts/flask` becomes this process."""

import os
import sys

from scripts.local.settings import SettingsError, run_environment


def main() -> int:
    try:
        environment = run_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "flask", "--app", "app.wsgi", *sys.argv[1:]]
    return os.execve(sys.executable, command, environment)  # noqa: S606 - the same process, another program


if __name__ == "__main__":
    sys.exit(main())
