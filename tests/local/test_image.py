"""The image holds what the app uses, for either machine, and nothing that runs while it is built."""

import ast
import importlib.metadata
import os
import re
import shutil
import struct
from pathlib import Path

import pytest

from scripts.images.__main__ import MOST_BYTES
from scripts.images.build import build_command, engine_at_hand, has_base, lay_out_app, with_engine
from scripts.images.measure import environment_of, measured, try_all
from scripts.images.packages import (
    LEFT_OUT,
    MACHINES,
    SERVICES,
    compile_all,
    prune,
    stripped,
    this_arch,
    wheels_for,
)
from scripts.local.settings import app_settings

REPO = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPO / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def srv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's files, from the locked packages of this environment: links, which nothing here writes through."""
    folder = tmp_path_factory.mktemp("image") / "srv"
    lock = (REPO / "requirements-image.txt").read_text(encoding="utf-8")
    for package in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE):
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python than this one
        for file in files:
            target = folder / "packages" / file
            if ".." not in file.parts and file.locate().is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(file.locate(), target)
    (folder / "app").symlink_to(REPO / "app")
    return folder


def test_what_is_left_out_is_there_to_be_left_out_and_nothing_that_the_app_uses(srv: Path) -> None:
    idle = [pattern for pattern in LEFT_OUT if not any((srv / "packages").glob(pattern.rstrip("/")))]
    assert idle in ([], ["bin"], ["bin", "share"])  # a venv has these two elsewhere

    prune(srv / "packages")

    assert [pattern for pattern in LEFT_OUT if "data" not in pattern and any((srv / "packages").glob(pattern))] == []
    settings = app_settings("http://dashboard.test", "http://127.0.0.1:9") | {"PATH": os.environ["PATH"]}
    try_all(srv, settings | environment_of(srv))


@pytest.mark.long
def test_the_image_is_small_starts_quickly_and_serves(srv: Path, tmp_path: Path) -> None:
    """Built by an engine where one answers and has the base, else by the same steps in a bare folder."""
    engine = engine_at_hand()
    built = with_engine(engine, this_arch(), "", tmp_path) if engine and has_base(engine) else laid_out(srv, tmp_path)

    figures = measured(built, workers=1)

    ours = figures.packages + figures.app
    assert ours <= MOST_BYTES, f"{ours - MOST_BYTES:,} bytes too many: LEFT_OUT of scripts/images/packages.py"
    assert figures.first_answer is not None
    assert figures.first_answer <= 2, "CPU seconds; 1 on a quiet machine, and neighbours make each of them dearer"
    assert [worker for worker in figures.workers if max(worker) > 90_000_000] == []
    assert len(figures.workers) == 1


def laid_out(srv: Path, into: Path) -> Path:
    """A copy, since the server's files are made read-only."""
    built = into / "srv"
    shutil.copytree(srv / "packages", built / "packages", ignore=shutil.ignore_patterns("__pycache__"))
    prune(built / "packages")
    assert compile_all(built / "packages", keep_sources=False)
    lay_out_app(built)
    return built


def test_the_image_has_the_description_of_each_aws_service_that_the_app_speaks_to() -> None:
    made = set()
    for path in (REPO / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("client", "make_client"):
                made |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    assert {"s3", "sesv2"} <= made
    assert made <= set(SERVICES)


def test_a_library_keeps_what_is_loaded_and_loses_what_is_for_debuggers(tmp_path: Path) -> None:
    library = tmp_path / "one.so"
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 3, 62, 1, 0, 64, 900, 0, 64, 56, 1, 64, 20, 19)
    loaded = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 400, 400, 4096)
    library.write_bytes((header + loaded).ljust(400, b"c") + b"d" * 600)
    library.chmod(0o755)

    stripped(library)

    kept = library.read_bytes()
    assert len(kept) == 400
    assert (kept[120:], kept[40:48], kept[60:64]) == (b"c" * 280, bytes(8), bytes(4))
    assert library.stat().st_mode & 0o777 == 0o755
    (tmp_path / "no.so").write_bytes(b"INPUT(libc.so)")
    stripped(tmp_path / "no.so")
    assert (tmp_path / "no.so").read_bytes() == b"INPUT(libc.so)"


def test_every_locked_package_of_the_image_has_a_wheel_for_each_machine_by_its_name() -> None:
    for arch, machine in MACHINES.items():
        options = wheels_for(arch, "3.11")
        platforms = [options[at + 1] for at, option in enumerate(options) if option == "--platform"]
        assert {f"manylinux_2_17_{machine}", f"manylinux2014_{machine}", f"manylinux_2_28_{machine}"} <= set(platforms)
        assert all(name.endswith(machine) for name in platforms)
        assert "--only-binary=:all:" in options


def test_no_step_of_the_production_image_runs_what_belongs_to_the_other_machine() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    running = [stage for stage in stages if re.search(r"^RUN ", stage, re.MULTILINE)]
    assert len(running) == 2
    assert all(stage.startswith("--platform=$BUILDPLATFORM ") for stage in running)
    assert "\nUSER 10001\n" in stages[-1]


def test_each_engine_is_told_which_machine_it_builds_for() -> None:
    for engine in ("docker", "podman", "buildah"):
        command = build_command(engine, "registry/dashboard:one", "arm64", "base:12")
        assert command[:2] == [engine, "build"]
        assert {"linux/arm64", "TARGETARCH=arm64", "BASE=base:12", "registry/dashboard:one"} <= set(command)
        assert not any("PACKAGES" in each for each in command)
        assert "PACKAGES=other.txt" in build_command(engine, "registry/dashboard:one", "arm64", packages="other.txt")


def test_an_engine_that_does_not_answer_is_named_and_passed_over(tmp_path: Path, monkeypatch, capfd) -> None:
    for name, lines in {"docker": "echo no daemon >&2; exit 1", "buildah": "exit 0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert engine_at_hand() == "buildah"
    assert "docker is installed and does not answer: no daemon" in capfd.readouterr().out


def test_the_builder_is_given_all_that_the_dockerfile_copies() -> None:
    let_through = {line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {path for paths in copies for path in paths.split()}
    assert len(copied) >= 6
    assert {path for path in copied if not {path, path.partition("/")[0]} & let_through} == set()
