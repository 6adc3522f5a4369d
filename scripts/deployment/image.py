"""The image of a commit: built by the engine that answers, pushed under the commit's name, known by its digest."""

from __future__ import annotations

import base64
import subprocess
from typing import Any

from botocore.exceptions import ClientError

from scripts.deployment.settings import DeployError, Settings
from scripts.images.build import build_command, engine_at_hand
from scripts.local.aws import REPO
from scripts.local.processes import say


def commit() -> str:
    """The commit that is checked out. Raises DeployError when files differ from it: nobody could say what runs."""
    try:
        name = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=True).stdout
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise DeployError(
            f"git cannot say which commit this is ({error}): deploy from a clone of the repository."
        ) from None
    if changed.strip():
        raise DeployError("There are changes that are not committed: commit them, so that what runs has a name.")
    return name.strip()


class Images:
    """The registry of one deployment."""

    def __init__(self, ecr: Any, settings: Settings, repository: str) -> None:
        self._ecr = ecr
        self._settings = settings
        self.repository = repository

    def digest(self, tag: str) -> str | None:
        """The image's name by its digest; None while it is not there."""
        name = self.repository.partition("/")[2]
        try:
            found = self._ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ImageNotFoundException", "RepositoryNotFoundException"):
                return None
            raise
        return f"{self.repository}@{found[0]['imageDigest']}" if found else None

    def bring(self, tag: str) -> str:
        """Build and push what is not there yet. Raises DeployError."""
        if there := self.digest(tag):
            say(f"  {tag} is in the registry already.")
            return there
        engine = engine_at_hand()
        if engine is None:
            raise DeployError("No docker, podman or buildah answers: start one, or name an image with --image.")
        image = f"{self.repository}:{tag}"
        say(f"  Building {tag} with {engine} (some minutes) ...")
        run(
            build_command(engine, image, self._settings.architecture, self._settings.base, self._settings.packages),
            "The image could not be built",
        )
        self._sign_in(engine)
        say("  Pushing it ...")
        run([engine, "push", image], "The image could not be pushed")
        made = self.digest(tag)
        if made is None:
            raise DeployError(f"The push ended well, but the registry does not know {tag}: start again.")
        return made

    def _sign_in(self, engine: str) -> None:
        (given,) = self._ecr.get_authorization_token()["authorizationData"]
        name, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
        host = self.repository.partition("/")[0]
        run([engine, "login", "--username", name, "--password-stdin", host], "The registry refuses", password)


def run(command: list[str], what: str, told: str | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, input=told)
    except OSError as error:
        raise DeployError(f"{what}: {error}.") from None
    if done.returncode:
        lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise DeployError(f"{what}: {' '.join(command[:2])} ended with {done.returncode}:\n{lines}\nThen start again.")
