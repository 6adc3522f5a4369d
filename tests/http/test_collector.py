"""A collector gets what a server and a command have to tell, over HTTP, also the last of it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http.server import REPO, Server


class Collector:
    """Takes OTLP over HTTP, as protobuf: https://opentelemetry.io/docs/specs/otlp/#otlphttp"""

    def __init__(self) -> None:
        self.spans: set[str] = set()
        self.metrics: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans |= {span.name for scope in each.scope_spans for span in scope.spans}
        if path == "/v1/metrics":
            for found in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in found.scope_metrics for metric in scope.metrics}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_the_last_of_a_server_that_stops_and_of_a_command_that_ends_arrives(dynamodb_url, store, tmp_path, collector):
    with Server(dynamodb_url, tmp_path / "log", workers=1, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url + "/") as server:
        assert httpx.get(f"{server.url}/login", trust_env=False).status_code == 200
        server.terminate()
        assert server.wait() == 0
        assert "GET /login" in collector.spans, server.log()[-3000:]
        assert {"dashboard.request.duration", "dashboard.breakers.open"} <= collector.metrics
        assert "dashboard.commands.duration" not in collector.metrics

        command = [sys.executable, "-m", "flask", "--app", "app.wsgi", "accounts", "erase"]
        ended = subprocess.run(command, cwd=REPO, env=server._environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "dashboard.commands.duration" in collector.metrics


def test_a_collector_that_is_away_keeps_no_page_waiting_and_wakes_nobody(dynamodb_url, store, tmp_path):
    away = "http://127.0.0.1:9"
    with Server(dynamodb_url, tmp_path / "log", workers=1, OTEL_EXPORTER_OTLP_ENDPOINT=away) as server:
        assert httpx.get(f"{server.url}/login", trust_env=False).status_code == 200
        server.terminate()
        assert server.wait() == 0
        assert '"level": "error"' not in server.log(), server.log()[-3000:]
