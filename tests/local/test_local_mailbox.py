"""The local mailbox shows every sent mail, with working links and without running anything a mail holds."""

import http.client
import threading
from collections.abc import Iterator

import boto3
import pytest

from scripts.local.aws import LocalAws
from scripts.local.mailbox import MailboxServer, leaving_the_frame, linked
from scripts.local.ports import HOST

TEXT = "Hello <b>you</b>\nOpen http://127.0.0.1:8000/set-password/abc?x=1&y=2.\n"
HTML = '<!doctype html><html><head><title>x</title></head><body><a href="http://127.0.0.1:8000/x">Go</a></body></html>'


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with LocalAws() as aws:
        ses = boto3.client(
            "sesv2",
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        ses.create_email_identity(EmailIdentity="hello@impacteragi.com")
        for subject in ("First", "Second <script>alert(1)</script>"):
            ses.send_email(
                FromEmailAddress="ImpacterAGI <hello@impacteragi.com>",
                Destination={"ToAddresses": ["customer@example.com"]},
                Content={
                    "Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": TEXT}, "Html": {"Data": HTML}}}
                },
            )
        server = MailboxServer(0, aws.port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
        server.server_close()


def get(port: int, path: str, host: str | None = None) -> tuple[int, str, str]:
    """Status, body and content security policy."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path, headers={"Host": host or f"{HOST}:{port}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers["Content-Security-Policy"]


def newest(port: int) -> str:
    return get(port, "/")[1].split('<a href="/message/')[1].split('"')[0]


def test_the_list_is_newest_first_and_escaped(port: int) -> None:
    status, page, policy = get(port, "/")
    assert status == 200
    assert page.index("Second") < page.index("First")
    assert "customer@example.com" in page
    assert "<script" not in page
    assert 'http-equiv="refresh"' in page
    assert "default-src 'none'" in policy


def test_a_mail_is_shown_as_text_with_links_and_as_html_in_a_sandbox(port: int) -> None:
    status, page, _ = get(port, f"/message/{newest(port)}")
    assert status == 200
    assert 'href="http://127.0.0.1:8000/set-password/abc?x=1&amp;y=2"' in page
    assert "&lt;b&gt;you" in page
    assert "<script" not in page
    assert f'src="/message/{newest(port)}/html"' in page
    assert 'sandbox="allow-popups' in page
    assert "allow-scripts" not in page
    assert "allow-same-origin" not in page


def test_the_html_of_a_mail_cannot_run_anything_even_when_opened_alone(port: int) -> None:
    status, page, policy = get(port, f"/message/{newest(port)}/html")
    assert status == 200
    assert '<head><base target="_top"><title>' in page
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy


@pytest.mark.parametrize("path", ["/message/none", "/message/none/html", "/other", "/message", "/message/a/b/c"])
def test_an_unknown_page_is_not_found(port: int, path: str) -> None:
    assert get(port, path)[0] == 404


def test_a_foreign_name_for_this_machine_is_refused(port: int) -> None:
    assert get(port, "/", host="mail.example.net")[0] == 403
    assert get(port, "/", host=f"localhost:{port}")[0] == 200


def test_a_missing_local_aws_is_told() -> None:
    server = MailboxServer(0, 1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    status, page, _ = get(server.server_address[1], "/")
    server.shutdown()
    server.server_close()
    assert status == 502
    assert "Local AWS does not answer" in page


def test_links_and_frames() -> None:
    assert linked("see (https://a.example/b).") == 'see (<a href="https://a.example/b">https://a.example/b</a>).'
    assert linked("javascript:alert(1)") == "javascript:alert(1)"
    assert leaving_the_frame("<p>x</p>") == '<base target="_top"><p>x</p>'
