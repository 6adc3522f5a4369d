"""The local mailbox: a loopback page with every mail the app sent through the local SES, newest first."""

import argparse
import http.client
import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from scripts.local.ports import HOST

LINK = re.compile(r"https?://[^\s<>\"']+")
HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)
# A mail may hold anything: no script, no form, nothing loaded from elsewhere but pictures; links leave the frame.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
MAIL_POLICY = (
    f"default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; base-uri 'none'; sandbox {SANDBOX}"
)
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Mail:
    """One sent mail as the local SES keeps it."""

    message_id: str
    sender: str
    recipients: str
    subject: str
    text: str
    html: str
    sent_at: datetime

    @property
    def url(self) -> str:
        return f"/message/{quote(self.message_id, safe='')}"

    @classmethod
    def from_ses(cls, kept: dict[str, Any]) -> "Mail":
        return cls(
            message_id=kept["MessageId"],
            sender=kept["Source"],
            recipients=", ".join([*kept["To"], *kept["CC"], *kept["BCC"]]),
            subject=kept["Subject"] or "(no subject)",
            text=kept["BodyText"] or "",
            html=kept["BodyHtml"] or "",
            sent_at=datetime.fromtimestamp(kept["Timestamp"], UTC),
        )


def linked(text: str) -> Markup:
    """Plain text with its addresses made clickable, everything else escaped."""
    parts: list[Markup] = []
    end = 0
    for match in LINK.finditer(text):
        address = match.group().rstrip(".,;:!?)]")
        parts += [escape(text[end : match.start()]), Markup('<a href="{0}">{0}</a>').format(address)]
        end = match.start() + len(address)
    return Markup("").join([*parts, escape(text[end:])])


def leaving_the_frame(html: str) -> str:
    """The mail's HTML with links that open in the whole window instead of in the frame."""
    base = '<base target="_top">'
    return HEAD.sub(lambda match: match.group() + base, html, count=1) if HEAD.search(html) else base + html


def sent_mails(aws_port: int) -> list[Mail]:
    """What the local SES has sent, newest first."""
    connection = http.client.HTTPConnection(HOST, aws_port, timeout=5)
    try:
        connection.request("GET", "/_ministack/ses/messages")
        by_account = json.loads(connection.getresponse().read())["messages"]
    finally:
        connection.close()
    mails = [Mail.from_ses(kept) for messages in by_account.values() for kept in messages]
    return sorted(mails, key=lambda mail: mail.sent_at, reverse=True)


class MailboxHandler(BaseHTTPRequestHandler):
    """Answers the four pages: the list, one mail, the HTML of one mail, and whether the mailbox is up."""

    server: "MailboxServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        # Only a browser that was sent here by a loopback name: a foreign site cannot point its own name at this page.
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in {HOST, "localhost", "::1"}:
            self.answer(403, "Open the mailbox at its loopback address.", "text/plain")
            return
        if path == "/healthz":
            self.answer(200, "ok", "text/plain")
            return
        try:
            mails = sent_mails(self.server.aws_port)
        except (OSError, http.client.HTTPException, ValueError):
            self.page(502, "mailbox.html", mails=[], problem="Local AWS does not answer. It may be starting again.")
            return
        if path == "/":
            self.page(200, "mailbox.html", mails=mails, problem="")
            return
        _, kind, key, *rest = [*path.split("/"), ""]
        mail = next((mail for mail in mails if kind == "message" and mail.message_id == unquote(key)), None)
        if mail is None or rest not in ([""], ["html", ""]):
            self.page(404, "mailbox.html", mails=mails, problem="This mail is not here any more.")
        elif rest == [""]:
            self.page(200, "mail.html", mail=mail, text=linked(mail.text), sandbox=SANDBOX)
        else:
            self.answer(200, leaving_the_frame(mail.html), "text/html", MAIL_POLICY)

    def page(self, status: int, template: str, **values: object) -> None:
        self.answer(status, self.server.templates.get_template(template).render(values), "text/html")

    def answer(self, status: int, text: str, kind: str, policy: str = PAGE_POLICY) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A page that refreshes itself would only fill the log."""


class MailboxServer(ThreadingHTTPServer):
    """The server, on loopback unless it is told otherwise, with the port of the local AWS whose mails it shows."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, aws_port: int, host: str = HOST) -> None:
        super().__init__((host, port), MailboxHandler)
        self.aws_port = aws_port
        self.templates = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle is no error of ours."""
        if not issubclass(sys.exc_info()[0] or Exception, ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=HOST, help="another address than loopback: in a container of one's own")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--aws-port", type=int, required=True)
    arguments = parser.parse_args()
    MailboxServer(arguments.port, arguments.aws_port, arguments.host).serve_forever()


if __name__ == "__main__":
    main()
