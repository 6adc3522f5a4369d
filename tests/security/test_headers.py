"""What every answer carries, and what is never believed of a request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import create_app
from app.config import Config, ConfigError
from tests.routes.browser import Browser, Program
from tests.support import PASSWORD, make_account

PATHS = [
    "/",
    "/login",
    "/signup",
    "/forgot",
    "/dashboard",
    "/nothing",
    "/api/user",
    "/api/nothing",
    "/healthz",
    "/static/app.css",
    "/static/nothing.css",
    "/robots.txt",
    "/reset/bad-token",
]


@pytest.fixture
def production(config, store, sender, stripe):
    settings = replace(config, env="production", app_url="https://dashboard.test", require_operator_2fa=True)
    return create_app(settings, store=store, sender=sender, stripe=stripe)


def test_a_static_file_carries_what_a_file_needs(production):
    headers = production.test_client().get("/static/app.css").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"


@pytest.mark.threat(82, 83)
@pytest.mark.parametrize("path", [path for path in PATHS if path != "/static/app.css"])
def test_every_answer_carries_the_policy(production, path):
    response = production.test_client().get(path, headers={"Origin": "https://evil.example"})

    headers = response.headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["form-action"] == "'self' https://checkout.stripe.com"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "publickey-credentials-get=(self)" in headers["Permissions-Policy"]
    assert not [name for name, _ in headers if name.startswith("Access-Control-")]
    assert headers["X-Request-Id"] or path.startswith("/static")
    if response.mimetype in ("text/html", "text/plain"):
        assert "charset=utf-8" in headers["Content-Type"].lower()


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/static")])
def test_nothing_but_static_files_is_stored(production, path):
    response = production.test_client().get(path)

    assert response.headers["Cache-Control"] == "no-store"


def test_the_session_cookie_is_locked_to_the_host_in_production(production, store):
    make_account(store)
    client = production.test_client()
    page = client.get("/login", base_url="https://dashboard.test")
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "email": "ada@example.com", "password": PASSWORD}
    answer = client.post(
        "/login", data=form, base_url="https://dashboard.test", headers={"Referer": "https://dashboard.test/login"}
    )

    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith("__Host-session=")]
    attributes = {part.strip().split("=")[0].lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite", "path"} <= attributes
    assert "domain" not in attributes
    assert "SameSite=Lax" in cookie


@pytest.mark.threat(65)
def test_a_sign_in_starts_a_session_of_its_own(app, store, browser):
    make_account(store)
    browser.sign_in()
    first = browser.cookie()
    browser.sign_in()

    assert browser.cookie() != first
    assert len(store.accounts.get("ada@example.com").sessions) == 2


@pytest.mark.threat(81)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example"},
        {"Forwarded": "host=evil.example"},
        {"X-Forwarded-Prefix": "/evil"},
        {"X-Forwarded-Port": "666"},
        {"X-Original-URL": "/admin"},
        {"X-Rewrite-URL": "/admin"},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
)
def test_headers_that_name_another_place_move_nothing(config, store, sender, stripe, headers):
    """The one that matters most: the link of a reset mail."""
    app = create_app(replace(config, trusted_proxies=1), store=store, sender=sender, stripe=stripe)
    make_account(store)
    browser = Browser(app)
    page = browser.client.get("/forgot", headers=headers)
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    assert "evil" not in page.text

    answer = browser.client.post("/forgot", data={"csrf_token": token, "email": "ada@example.com"}, headers=headers)
    away = browser.client.get("/dashboard", headers=headers)

    assert answer.status_code == 200
    assert away.location.startswith("/login")
    app.test_cli_runner().invoke(args=["mail", "send"])
    mail = next(mail for mail in sender.sent if "/reset/" in mail["text"])
    assert "http://dashboard.test/reset/" in mail["text"]
    assert "evil" not in mail["text"] + mail["html"]


@pytest.mark.threat(96)
@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "198.51.100.1", "127.0.0.1"),
    ],
)
def test_the_address_is_that_of_the_trusted_hop(config, store, sender, stripe, proxies, forwarded, expected):
    from flask import request

    from app.web.guards import public

    app = create_app(replace(config, trusted_proxies=proxies), store=store, sender=sender, stripe=stripe)
    app.add_url_rule("/address", "address", public(lambda: str(request.remote_addr)))

    assert app.test_client().get("/address", headers={"X-Forwarded-For": forwarded}).text == expected


@pytest.mark.threat(97)
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PUT", "DELETE", "FOO"])
@pytest.mark.parametrize("path", ["/", "/login", "/dashboard", "/api/user", "/healthz"])
def test_methods_that_nobody_offers_are_refused(client, method, path):
    answer = client.open(path, method=method, headers={"Cookie": "session=secret-in-cookie"})

    assert answer.status_code == 405
    assert "secret-in-cookie" not in answer.text


@pytest.mark.threat(94)
@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/.git/config",
        "/console",
        "/app/config.py",
        "/static/../config.py",
        "/static/%2e%2e/config.py",
        "/static/..%2f..%2f.env",
        "/debug",
        "/server-status",
        "/var/secrets.json",
    ],
)
def test_nothing_of_the_inside_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.threat(77, 74)
def test_the_api_takes_no_cookie_and_no_token_in_a_url_and_the_pages_take_no_token(app, store, browser):
    make_account(store, credits=100)
    browser.sign_in()
    program = Program(app)

    assert browser.client.post("/api/tasks", json={"description": "forged"}).status_code == 401
    assert browser.get("/api/user").status_code == 401
    for name in ("token", "access_token", "authorization", "jwt"):
        assert app.test_client().get(f"/api/user?{name}={program.token}").status_code == 401
    pages = app.test_client()
    assert pages.get("/dashboard", headers={"Authorization": f"Bearer {program.token}"}).status_code == 303
    assert pages.get(f"/login?email=ada@example.com&password={PASSWORD}").status_code == 200
    assert pages.get("/dashboard").status_code == 303


@pytest.mark.threat(66)
def test_sign_out_clears_what_the_browser_kept(app, store, browser):
    make_account(store)
    browser.sign_in()
    stolen = browser.cookie()

    answer = browser.post("/logout", {})

    assert answer.headers["Clear-Site-Data"] == '"cache"'
    thief = Browser(app)
    thief.client.set_cookie("session", stolen)
    assert thief.get("/dashboard").status_code == 303


@pytest.mark.threat(84)
def test_a_fragment_request_without_a_session_leads_nowhere(client):
    for url in ("http://localhost/transactions", "http://[", "", "javascript:alert(1)", "//evil.example/x"):
        answer = client.get("/dashboard", headers={"HX-Request": "true", "HX-Current-URL": url})
        assert answer.status_code == 401
        assert "HX-Redirect" not in answer.headers
        assert "evil" not in answer.text


def test_security_txt_names_a_contact_and_has_not_expired(client):
    text = client.get("/.well-known/security.txt").text

    assert "Contact: mailto:security@impacteragi.com\n" in text
    assert "Canonical: http://dashboard.test/.well-known/security.txt" in text


@pytest.mark.threat(73)
def test_production_refuses_to_waive_the_operators_second_factor():
    settings = {
        "APP_URL": "https://dashboard.example.com",
        "JWT_SECRET": "k7Zq2mX9vB4nL8wR3tY6uP1sD5fG0hJc",
        "STRIPE_SECRET_KEY": "sk_live_" + "Zq2mX9vB4nL8wR3tY6",
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "k7Zq2mX9vB4nL8wR3tY6uP1sD5fG0hJc",
    }
    assert Config.from_env(settings).require_operator_2fa
    with pytest.raises(ConfigError, match="REQUIRE_OPERATOR_2FA"):
        Config.from_env(settings | {"REQUIRE_OPERATOR_2FA": "0"})
