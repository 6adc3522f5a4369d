"""What is deployed: deploy.toml, read and checked before anything is asked of AWS."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

SIZES = {"Small": 40, "Standard": 220}  # US$ a month that nobody is told of
ARCHITECTURES = {"arm64": "ARM64", "amd64": "X86_64"}


class DeployError(Exception):
    """It cannot go on; the message says what to do. To start again is always safe."""


@dataclass(frozen=True)
class Settings:
    """deploy.toml, one value a line; `service` and `backup` are tables of further parameters of those templates."""

    host_name: str
    mail_from: str
    alarm_mail: str
    region: str = "us-east-1"
    copy_region: str = ""
    name: str = "dashboard"
    size: str = "Small"
    architecture: str = "arm64"
    monthly_budget: int = 0
    base: str = ""
    service: dict[str, str] = field(default_factory=dict)
    backup: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises DeployError with every fault at once."""
        wrong = []
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", self.host_name):
            wrong.append(f"host_name is {self.host_name!r}: the host alone, like dashboard.example.com")
        for name in ("mail_from", "alarm_mail"):
            if "@" not in getattr(self, name):
                wrong.append(f"{name} is {getattr(self, name)!r}: an address")
        if self.size not in SIZES:
            wrong.append(f"size is {self.size!r}: {' or '.join(SIZES)}")
        if self.architecture not in ARCHITECTURES:
            wrong.append(f"architecture is {self.architecture!r}: {' or '.join(ARCHITECTURES)}")
        if self.copy_region == self.region:
            wrong.append(f"copy_region is {self.copy_region!r}, as region is: the copy would be lost with the tables")
        if made := sorted({"BackupBucket", "BackupCopyBucket", "BackupCopyRegion"} & self.service.keys()):
            wrong.append(f"[service] has {', '.join(made)}: copy_region and [backup] decide that")
        if self.backup.get("CopyBucket") and not self.copy_region:
            wrong.append("copy_region is not set: the region of CopyBucket")
        if self.backup.get("CopyAccount") and not self.backup.get("CopyBucket"):
            wrong.append("[backup] has CopyAccount and no CopyBucket, which is made there with its credentials")
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}", self.name):
            wrong.append(f"name is {self.name!r}: small letters, digits and hyphens; every stack's name begins with it")
        if wrong:
            raise DeployError("Not right in the settings:\n" + "\n".join(f"  {each}" for each in wrong))

    @property
    def budget(self) -> int:
        return self.monthly_budget or SIZES[self.size]

    @property
    def packages(self) -> str:
        """The lock of an image that can send to a collector, where one is named (docs/metrics.md)."""
        return "requirements-telemetry.txt" if self.service.get("Collector") else ""

    @property
    def image_tag(self) -> str:
        """What follows the commit in an image's tag: what is built differently is another image."""
        return self.architecture + ("-telemetry" if self.packages else "")

    @property
    def mail_identity(self) -> str:
        return self.mail_from.rpartition("@")[2].strip("> ")


def read_settings(path: Path) -> Settings:
    """Raises DeployError for a file that is not there, not TOML, or has what nobody reads."""
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeployError(f"{path} is not there: copy deploy/aws/deploy.example.toml there and fill it in.") from None
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be read: {error}.") from None
    known = {each.name for each in fields(Settings)}
    if unknown := given.keys() - known:
        raise DeployError(f"{path} has {', '.join(sorted(unknown))}, which nobody reads; known are {sorted(known)}.")
    if missing := {"host_name", "mail_from", "alarm_mail"} - given.keys():
        raise DeployError(f"{path} lacks {', '.join(sorted(missing))}.")
    settings = Settings(**given)
    settings.check()
    return settings
