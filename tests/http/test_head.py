"""HEAD through the server, which has its own mind about bodies and lengths."""

from __future__ import annotations

import http.client

import httpx
import pytest

from tests.support import PASSWORD, make_account

OWN = ("date", "x-request-id", "set-cookie", "connection", "server", "content-length")


@pytest.mark.threat(110)
@pytest.mark.parametrize(
    "path", ["/login", "/signup", "/forgot", "/", "/healthz", "/static/app.css", "/api/openapi.json"]
)
def test_head_has_the_status_and_headers_of_get_and_no_body(server, store, path):
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    line.request("HEAD", path)
    head = line.getresponse()
    assert head.read() == b""
    line.request("GET", path)  # on the same connection: a body after HEAD would be taken for this answer
    get = line.getresponse()
    body = get.read()

    assert head.status == get.status == 200
    assert body
    unlike = [name for name, value in get.getheaders() if name.lower() not in OWN and head.getheader(name) != value]
    assert not unlike


@pytest.mark.threat(110)
def test_an_uptime_monitor_keeps_nobody_out(server, store):
    make_account(store)
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as monitor:
        answers = [monitor.head("/login").status_code for _ in range(120)]
        assert set(answers) == {200}

        login = monitor.post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})

    assert login.status_code == 200
