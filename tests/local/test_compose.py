"""compose.yaml starts what scripts/run starts, in an order that works, and shows nothing to the network."""

import os
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from scripts.local.part import ready
from scripts.local.parts import commands
from scripts.local.ports import free_port, wait_until
from scripts.local.settings import PORTS, local_settings

REPO = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPO / "compose.yaml").read_text(encoding="utf-8"))["services"]
NO_PROCESS = {"network", "flask"}


def test_each_process_of_a_local_run_has_its_container(tmp_path: Path) -> None:
    known = commands(local_settings({"VAR_DIR": str(tmp_path), **{name: str(free_port()) for name in PORTS}}))
    assert SERVICES.keys() - NO_PROCESS == known.keys()
    for name in SERVICES.keys() - NO_PROCESS:
        assert SERVICES[name]["command"] == ["python", "-m", "scripts.local.part", name]


def test_nothing_is_published_but_on_loopback_and_nothing_may_write_but_its_state() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(PORTS)
    assert all(port.startswith("127.0.0.1:") for port in published)
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert (name == "network") != (service.get("network_mode") == "service:network"), name


def asked_by(name: str) -> list[str]:
    """What compose starts before a service, in its order, and the service itself."""
    found: list[str] = []
    for other in SERVICES[name].get("depends_on", {}):
        found += [each for each in asked_by(other) if each not in found]
    return [*found, name]


def test_the_containers_commands_started_in_their_order_serve_the_dashboard(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in PORTS}
    given = SERVICES["web"]["environment"] | ports
    given |= {"LOCAL_HOST": "127.0.0.1", "VAR_DIR": str(tmp_path), "DEMO_MONTH": "0", "DEMO_PASSWORD": ""}
    settings = local_settings(given)
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        with (tmp_path / "lines").open("ab") as lines:
            return subprocess.Popen(
                [sys.executable, *command[1:]], cwd=REPO, env=os.environ | given, stdout=lines, stderr=lines
            )

    try:
        for name in asked_by("web")[1:]:  # the first holds the network
            process = start(SERVICES[name]["command"])
            if "healthcheck" not in SERVICES[name]:
                assert process.wait(timeout=120) == 0, (tmp_path / "lines").read_text()
                continue
            started.append(process)
            alive = partial(lambda one: one.poll() is None, process)
            assert wait_until(partial(ready, name, settings), 120, alive), (tmp_path / "lines").read_text()
        assert start(SERVICES["web"]["healthcheck"]["test"][1:]).wait(timeout=60) == 0
        assert start([*SERVICES["flask"]["entrypoint"], "books", "check"]).wait(timeout=60) == 0
        with urllib.request.urlopen(f"{settings.url('PORT')}/login", timeout=30) as page:
            assert page.status == 200
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        ends = {process.wait(timeout=60) for process in started}
    assert ends <= {0, -signal.SIGTERM}
