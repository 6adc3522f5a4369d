"""The image's files: by an engine where one answers, else by the Dockerfile's steps in a bare folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from scripts.images.packages import this_arch
from scripts.local.aws import REPO
from scripts.local.processes import say

ENGINES = ("docker", "podman", "buildah")
TAG = "localhost/dashboard:tried"


class BuildError(Exception):
    """The image could not be built; the message says what to do."""


def engine_at_hand() -> str | None:
    """The first engine that answers. Says in a line of each other one why it does not count."""
    for engine in ENGINES:
        if not shutil.which(engine):
            continue
        asked = subprocess.run([engine, "info"], capture_output=True, text=True)
        if asked.returncode == 0:
            return engine
        say(f"{engine} is installed and does not answer: {last_line(asked.stderr)}")
    return None


def has_base(engine: str) -> bool:
    """Whether the Dockerfile's base image is here, so that a build fetches the locked packages alone."""
    base = (REPO / "Dockerfile").read_text(encoding="utf-8").partition("ARG BASE=")[2].split()[0]
    return subprocess.run([engine, "inspect", "--type", "image", base], capture_output=True).returncode == 0


def build_command(engine: str, tag: str, arch: str, base: str = "", packages: str = "") -> list[str]:
    """`packages`: another lock than that of the image."""
    command = {
        "docker": ["docker", "build"],
        "podman": ["podman", "build"],
        "buildah": ["buildah", "build", "--isolation", "chroot"],
    }[engine]
    arguments = ["--build-arg", f"BASE={base}"] if base else []
    arguments += ["--build-arg", f"PACKAGES={packages}"] if packages else []
    return [*command, "--platform", f"linux/{arch}", "--build-arg", f"TARGETARCH={arch}", *arguments, "--tag", tag, "."]


def with_engine(engine: str, arch: str, base: str, folder: Path) -> Path:
    """Build with the engine and lay the image's /srv out in `folder`."""
    say(f"Building for {arch} with {engine} ...")
    run(build_command(engine, TAG, arch, base), "The image could not be built")
    say("Taking its files out ...")
    archive = folder / "root.tar"
    if engine == "buildah":
        container = output(["buildah", "from", "--arch", arch, "--pull-never", TAG])
        try:
            mounted = output(["buildah", "mount", container])
            shutil.copytree(Path(mounted) / "srv", folder / "srv", symlinks=True)
        finally:
            run(["buildah", "rm", container], "The working container could not be removed")
        return folder / "srv"
    container = output([engine, "create", "--platform", f"linux/{arch}", TAG])
    try:
        run([engine, "export", "--output", str(archive), container], "The image could not be read")
    finally:
        run([engine, "rm", container], "The container could not be removed")
    with tarfile.open(archive) as files:
        files.extractall(folder, [each for each in files if each.name.startswith("srv")], filter="tar")
    archive.unlink()
    return folder / "srv"


def bare(arch: str, folder: Path) -> Path:
    """What the Dockerfile does, with the Python of this process in the place of the base image's."""
    say(f"No engine: making the image's files for {arch} in a bare folder (the base image's are this machine's) ...")
    srv = folder / "srv"
    packages = [sys.executable, str(REPO / "scripts/images/packages.py"), "--arch", arch or this_arch()]
    run([*packages, "--lock", str(REPO / "requirements-image.txt"), "--to", str(srv / "packages")], "No packages")
    lay_out_app(srv)
    return srv


def lay_out_app(srv: Path) -> None:
    """The app beside the packages, with its bytecode. Raises BuildError."""
    shutil.copytree(REPO / "app", srv / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (srv / "scripts").mkdir()
    shutil.copy(REPO / "scripts/setup_db.py", srv / "scripts")
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    run([*compiling, str(srv / "app"), str(srv / "scripts")], "The app could not be compiled")


def run(command: list[str], what: str) -> None:
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"{what}: {' '.join(command[:3])} ended with {done.returncode}. Its last lines:\n{lines}")
    for line in done.stdout.splitlines():
        if "MB of packages" in line:
            say(f"  {line}")


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command[:3])} failed: {last_line(done.stderr)}")
    return done.stdout.strip().splitlines()[-1]


def last_line(text: str) -> str:
    return [*text.strip().splitlines(), "(it said nothing)"][
        -1 if not text.strip() else len(text.strip().splitlines()) - 1
    ]
