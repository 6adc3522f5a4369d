"""What every measurement stands on: processes, settings, accounts with a history, and signed-in requests."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from flask import Flask

from app import create_app
from app.config import Config
from app.data.table_setup import create_tables
from app.domain.accounts import API, BROWSER, Account, AccountKey, Session, new_account_id, new_session_id, session_key
from app.domain.credits import PROMO, LedgerEntry, post
from app.domain.sales import MARK
from app.domain.tasks import COMPLETED, Task
from app.services.tokens import Tokens
from app.web.visitors import open_store
from scripts.benchmarks import certificates
from scripts.local.aws import CHILD, REPO, LocalAws
from scripts.local.ports import HOST, free_port, wait_for_answer

SECRET = "a-signing-key-that-only-the-benchmark-ever-uses"  # noqa: S105
STRIPES_SECRET = "whsec_" + "0123456789abcdef" * 2
BROWSERS_ENCODINGS = "gzip, deflate, br, zstd"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
WORDS = "Compare the three quotes in the attachment and say which one is best value for a small office, with reasons."


class World:
    """The local AWS and the processes around it, all gone at the end of the block."""

    def __init__(self) -> None:
        self.pids: dict[int, int] = {}
        self._stack = ExitStack()
        self._nowhere = self._stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115
        self._certificate = certificates.make(Path(self._stack.enter_context(tempfile.TemporaryDirectory())))

    def __enter__(self) -> Self:
        self.aws = self._stack.enter_context(LocalAws())
        os.environ.update(CREDENTIALS)
        config = self.config(self.aws.port)
        self.store = open_store(config)
        create_tables(self.store.client, self.store.prefix)
        self.direct_app = self.app(self.aws.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self, dynamodb_port: int, app_port: int = 8000) -> dict[str, str]:
        return {
            "APP_ENV": "development",
            "APP_URL": f"http://{HOST}:{app_port}",
            "JWT_SECRET": SECRET,
            "STRIPE_SECRET_KEY": "sk_test_benchmark",
            "STRIPE_WEBHOOK_SECRET": "whsec_benchmark",
            "DYNAMODB_ENDPOINT_URL": f"http://{HOST}:{dynamodb_port}",
            **CREDENTIALS,
        }

    def production(self, dynamodb_port: int) -> dict[str, str]:
        """The settings of a deployment; the store is reached over TLS (`start_replay` with a certificate)."""
        return self.environment(dynamodb_port) | {
            "APP_ENV": "production",
            "APP_URL": "https://dashboard.test",
            "STRIPE_SECRET_KEY": "sk_test_51Hq9Zk2LwXv7RmTn4Pc8",
            "STRIPE_WEBHOOK_SECRET": STRIPES_SECRET,
            "DYNAMODB_ENDPOINT_URL": f"https://{HOST}:{dynamodb_port}",
            "AWS_CA_BUNDLE": str(self._certificate),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def config(self, dynamodb_port: int) -> Config:
        return Config.from_env(self.environment(dynamodb_port))

    def app(self, dynamodb_port: int) -> Flask:
        """The app in this process. Its log lines are made and written, only not to the terminal."""
        return self.hushed(create_app(self.config(dynamodb_port)))

    def hushed(self, app: Flask) -> Flask:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(self._nowhere)
        return app

    def start_replay(self, latency_ms: float = 0, *, certificate: bool = False) -> int:
        """A store that costs nothing but its latency; returns its port, with a `certificate` that of TLS."""
        port, tls_port = free_port(), free_port()
        command = ["-m", "scripts.benchmarks.replay", "--port", str(port), "--upstream", str(self.aws.port)]
        if certificate:
            command += ["--tls-port", str(tls_port), "--certificate", str(self._certificate)]
        self._start([*command, "--latency-ms", str(latency_ms)], {}, port, "/")
        return tls_port if certificate else port

    def start_server(self, dynamodb_port: int, workers: int) -> int:
        """The app as it is served: granian with a thread for each connection; returns its port."""
        port = free_port()
        command = ["-m", "app.web.serve", "--host", HOST, "--port", str(port), "--workers", str(workers)]
        self._start(command, self.environment(dynamodb_port, port), port, "/login")
        return port

    def _start(self, arguments: list[str], environment: dict[str, str], port: int, path: str) -> None:
        self.start([os.path.join(REPO, ".venv", "bin", "python"), *arguments], environment, port, path)

    def start(self, command: list[str], environment: dict[str, str], port: int, path: str, folder: Path = REPO) -> None:
        """A process that ends with the world; returns once `path` answers. Its id is kept by its port."""
        process = subprocess.Popen(
            [*CHILD, str(os.getpid()), *command],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        self.pids[port] = process.pid
        if not wait_for_answer(port, path, 180, lambda: process.poll() is None):
            raise RuntimeError(f"{' '.join(command[:3])} did not start")

    def account(self, email: str, *, credits: int, tasks: int = 0, operator: bool = False) -> Visitor:
        """A customer of some standing, signed in; `tasks` are completed ones, a minute apart.

        An operator's session has proven a second factor.
        """
        now = datetime.now(UTC)
        session_id = new_session_id()
        # Seen in the future: a row that is replayed for minutes must not ask for its last-seen time to be written.
        seen = now + timedelta(hours=1)
        sessions = {
            session_key(session_id + kind): Session(
                session_key(session_id + kind), kind, now, seen, "Chrome on Linux", mfa_at=now if operator else None
            )
            for kind in (BROWSER, API)
        }
        spend = {(now - timedelta(days=back)).date().isoformat(): 10 * (1 + back % 7) for back in range(30)}
        account = Account(
            AccountKey(email),
            new_account_id(),
            now,
            confirmed_at=now,
            sessions=sessions,
            password_hash="$2b$12$" + "x" * 53,
            spend_by_day=spend,
            role="admin" if operator else "customer",
        )
        posted, account = post(
            account, LedgerEntry(f"promo#{email}", AccountKey(email), PROMO, credits, "To begin with"), now
        )
        with self.store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.accounts.create(account)
        self._add_history(email, tasks, now)
        return Visitor(self, account, session_id)

    def _add_history(self, email: str, tasks: int, now: datetime) -> None:
        for start in range(0, tasks, 100):
            with self.store.transaction() as tx:
                for number in range(start, min(start + 100, tasks)):
                    moment = now - timedelta(minutes=number + 1)
                    task_id = _task_id(email, number)
                    task = Task(
                        task_id=task_id,
                        user_email=AccountKey(email),
                        description=f"{number}. {WORDS}",
                        status=COMPLETED,
                        credits_spent=10,
                        created_at=moment,
                        updated_at=moment,
                        version=2,
                    )
                    tx.tasks.add(task)


class Visitor:
    """A signed-in customer: the same cookie for the app in this process and for a server."""

    def __init__(self, world: World, account: Account, session_id: str) -> None:
        self.account = account
        self.token = Tokens((SECRET,)).issue(account.email, session_id + API, datetime.now(UTC))
        client = world.direct_app.test_client()
        with client.session_transaction() as session:
            session.permanent = True
            session["email"], session["sid"] = account.email, session_id + BROWSER
        page = client.get("/login").text  # puts the key of the CSRF tokens into the session
        self.csrf = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        cookie = client.get_cookie("session")
        if cookie is None or not self.csrf:
            raise RuntimeError("the sign-in page gave no session")
        self.cookie = f"session={cookie.value}"

    def headers(self, **more: str) -> dict[str, str]:
        """What a browser sends with each request."""
        return {
            "Host": "dashboard.test",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.9",
            "Accept-Encoding": BROWSERS_ENCODINGS,
            "Cookie": self.cookie,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def task_id(self, number: int) -> str:
        """Of the history's task that is the `number`-th from the newest."""
        return _task_id(self.account.email, number)

    def bearer(self, path: str) -> dict[str, Any]:
        """What a program asks."""
        headers = {"Host": "dashboard.test", "Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        return _environ("GET", path, headers, b"")

    def stranger(self, path: str) -> dict[str, Any]:
        """A browser that is signed in nowhere."""
        return _environ("GET", path, {name: value for name, value in self.headers().items() if name != "Cookie"}, b"")

    def get(self, path: str, **headers: str) -> dict[str, Any]:
        """A WSGI environment, made beforehand so that making it is not measured."""
        return _environ("GET", path, self.headers(**headers), b"")

    def bought(self, cents: int = 1000) -> dict[str, Any]:
        """What Stripe tells of a purchase, some 3 KB as from there. It is signed when it is sent: recorded.py."""
        credits = {"credits": str(cents), "price_cents": str(cents)}
        session = {
            "id": "cs_test_recorded",
            "object": "checkout.session",
            "amount_subtotal": cents,
            "amount_total": cents,
            "currency": "usd",
            "customer": "cus_recorded",
            "customer_details": {"email": self.account.email},
            "livemode": False,
            "metadata": {"sold_by": MARK, "account_id": self.account.account_id, **credits},
            "mode": "payment",
            "payment_intent": "pi_recorded",
            "payment_status": "paid",
            "status": "complete",
            "what_nobody_reads": "x" * 2_200,
        }
        event = {
            "id": "evt_recorded",
            "object": "event",
            "type": "checkout.session.completed",
            "created": int(datetime.now(UTC).timestamp()),
            "livemode": False,
            "data": {"object": session},
        }
        headers = {"Host": "dashboard.test", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
        body = json.dumps(event, indent=2).encode()
        sent = _environ("POST", "/api/stripe/webhook", headers, body, "application/json; charset=utf-8")
        return sent | {"signed_by": STRIPES_SECRET}

    def submit(self, request_id: str, words: str = WORDS) -> dict[str, Any]:
        form = {"csrf_token": self.csrf, "request_id": request_id, "description": words}
        body = urlencode(form).encode()
        headers = self.headers(HX_Request="true", X_CSRFToken=self.csrf)
        return _environ("POST", "/tasks", headers, body)


def _task_id(email: str, number: int) -> str:
    return f"task_{email.partition('@')[0]}_{number:012d}"


def secure(environ: dict[str, Any]) -> dict[str, Any]:
    """The same request over HTTPS to a deployment: its cookie has another name, its forms say where they stood."""
    cookie = environ.get("HTTP_COOKIE", "").replace("session=", "__Host-session=")
    more = {"HTTP_COOKIE": cookie} if cookie else {}
    more |= {"HTTP_REFERER": "https://dashboard.test/dashboard", "wsgi.url_scheme": "https", "SERVER_PORT": "443"}
    return {name: value for name, value in (environ | more).items() if name != "wsgi.errors"}


def _environ(
    method: str, path: str, headers: dict[str, str], body: bytes, kind: str = "application/x-www-form-urlencoded"
) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "dashboard.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.errors": io.StringIO(),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        **({"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))} if body else {}),
        "body": body,
    }
