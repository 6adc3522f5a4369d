"""Files of results under scripts/run: an upload reaches the customer as it was, whatever the shell has set."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from bs4 import BeautifulSoup

from app.web.files import MAX_FILE_BYTES, MAX_FILES
from tests.local.local_run import Run

PATIENCE = 60.0
OCTETS = "application/octet-stream"
# Name, contents, and the type that the download has.
FILES = [
    ("report.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
    ("chart.png", b"\x89PNG\r\n\x1a\n\x00\x00", "image/png"),
    ("figures.csv", "a;b\r\nÄ;1\r\n".encode("cp1252"), "text/csv"),
    ("Überblick für März.txt", "Grüße\n".encode(), "text/plain"),
    ('say "hello", it\'s me.txt', b"quoted\n", "text/plain"),
    ("🎉 party; filename=evil.txt", b"emoji\n", "text/plain"),
    ("تقرير.pdf", b"%PDF-1.4\n", "application/pdf"),
    ("empty.txt", b"", "text/plain"),
    ("page.html", b"<script>alert(document.domain)</script>", "text/html"),
    ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"),
    ("no suffix", bytes(range(256)), OCTETS),
    ("100%25 & more+.zip", b"PK\x05\x06" + bytes(18), "application/zip"),
    ("nearly too large.bin", b"\xa5" * (MAX_FILE_BYTES - 1), OCTETS),
]
SHELLS: dict[str, dict[str, str]] = {
    "keys of an account": {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "token-of-a-role",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    },
    "a profile": {"AWS_PROFILE": "nobody-made-this-profile", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
}


class Person:
    """A browser of one of the demo accounts."""

    def __init__(self, run: Run, role: str) -> None:
        self.web = httpx.Client(base_url=run.url, trust_env=False, timeout=PATIENCE)
        found = re.search(rf"Demo {role} +(\S+)  password (\S+)", run.text())
        assert found, run.text()
        self.email = found[1]
        assert self.send("/login", "/login", email=found[1], password=found[2]).status_code == 303

    def page(self, path: str) -> BeautifulSoup:
        answer = self.web.get(path)
        assert answer.status_code == 200, answer.text
        return BeautifulSoup(answer.text, "html5lib")

    def send(self, page: str, path: str, files: list[tuple[str, bytes]] | None = None, **data: str) -> httpx.Response:
        token = self.page(page).select_one("input[name=csrf_token]")
        assert token
        parts = [("files", (name, content)) for name, content in files or []]
        return self.web.post(path, data={"csrf_token": str(token["value"])} | data, files=parts or None)


def finished_task(customer: Person, operator: Person, files: list[tuple[str, bytes]], key: str) -> str:
    """The address of a task that the customer submitted and the operator completed with these files."""
    sent = customer.send("/dashboard", "/tasks", description=f"Send me the files, {key}", request_id=key)
    assert sent.status_code == 303, sent.text
    path = sent.headers["location"]
    assert operator.send("/admin", f"/admin{path}/claim").status_code == 303
    done = operator.send(f"/admin{path}", f"/admin{path}/complete", files=files, result="They are attached.")
    assert done.status_code == 303, done.text
    return path


def download(person: Person, path: str) -> tuple[str, bytes, str]:
    """File name, contents and type, as the link of the page leads to them."""
    link = person.web.get(path)
    assert link.status_code == 303, link.text
    file = httpx.get(link.headers["location"], trust_env=False, timeout=PATIENCE)  # the link alone opens it: no cookie
    assert file.status_code == 200, file.text[:500]
    return name_of(file.headers["content-disposition"]), file.content, file.headers["content-type"]


def name_of(disposition: str) -> str:
    """What a browser saves as (RFC 6266, RFC 5987)."""
    kind, _, _ = disposition.partition(";")
    assert kind == "attachment", "it would be shown instead of saved"
    message = Message()
    message["Content-Disposition"] = disposition
    fallback = message.get_param("filename", header="content-disposition", unquote=True)
    extended = re.search(r"filename\*=UTF-8''([^;]+)", disposition)
    assert extended, disposition
    assert fallback is not None, disposition
    return unquote(extended[1], errors="strict")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Run]]:
    runs: list[Run] = []

    def started(shell: dict[str, str]) -> Run:
        run = Run(tmp_path / "var", **shell)
        runs.append(run)
        run.start().until_ready()
        return run

    yield started
    for run in runs:
        if run.process is not None and run.process.poll() is None:
            run.end(signal.SIGKILL)


def test_every_kind_of_file_reaches_the_customer_as_it_was_also_after_a_restart(start) -> None:
    run = start({})
    customer, operator = Person(run, "customer"), Person(run, "admin")
    paths = [
        finished_task(customer, operator, [file[:2] for file in FILES[first : first + MAX_FILES]], f"k{first}")
        for first in range(0, len(FILES), MAX_FILES)
    ]
    check_downloads(customer, paths, FILES)
    check_downloads(operator, [f"/admin{path}" for path in paths], FILES)

    assert run.end(signal.SIGTERM) == 0
    run.start().until_ready()
    check_downloads(Person(run, "customer"), paths, FILES)


@pytest.mark.parametrize("shell", SHELLS)
def test_files_mail_and_checkout_work_when_the_shell_has_settings_of_another_aws(start, shell: str) -> None:
    run = start(SHELLS[shell])
    customer, operator = Person(run, "customer"), Person(run, "admin")

    path = finished_task(customer, operator, [file[:2] for file in FILES[:2]], "one")
    bought = customer.send("/credits", "/credits/checkout", pack="pack-1000", request_id="one")
    customer.send("/forgot", "/forgot", email=customer.email)

    check_downloads(customer, [path], FILES[:2])
    assert bought.headers["location"].startswith(f"http://127.0.0.1:{run.ports['LOCAL_STRIPE_PORT']}/")
    mails = f"http://127.0.0.1:{run.ports['LOCAL_AWS_PORT']}/_ministack/ses/messages"
    for _ in range(120):
        sent = json.dumps(httpx.get(mails, trust_env=False, timeout=PATIENCE).json())
        if "/reset/" in sent:
            return
        run.pause()
    raise AssertionError(sent)


def check_downloads(person: Person, paths: list[str], files: list[tuple[str, bytes, str]]) -> None:
    """Each file under its own name, with its bytes and its type, saved instead of shown."""
    for number, (name, content, kind) in enumerate(files):
        link = person.page(paths[number // MAX_FILES]).select('a[href*="/files/"]')[number % MAX_FILES]
        assert link.text == name
        found_name, found, found_kind = download(person, str(link["href"]))
        assert (found_name, found_kind.partition(";")[0]) == (name, kind)
        assert found == content, name
