"""The stand-in's web application, its guards, and the server that runs it on loopback."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from werkzeug.serving import WSGIRequestHandler, make_server

from scripts.local.processes import heed_no_stop

from .api import create_api
from .business import Business
from .control import create_control
from .objects import money
from .options import HOST, Options
from .pages import create_pages
from .panel import create_panel, moment
from .states import create_states
from .store import Store
from .webhooks import Deliverer

MAX_BODY = 1024 * 1024
HEADERS = {
    # The hosted page's form leads on to the shop's own address, which may be any.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self' http: https:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(store: Store, business: Business, deliverer: Deliverer, options: Options) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.filters.update(money=money, moment=moment)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(create_api(store, business, options))
    app.register_blueprint(create_control(store, business, deliverer, options))
    app.register_blueprint(create_pages(store, business, deliverer, options))
    app.register_blueprint(create_panel(store, business, deliverer, options))
    app.jinja_env.globals["blueprints"] = app.blueprints
    if options.states:
        app.register_blueprint(create_states(options))

    @app.before_request
    def guard() -> None:
        # A name that merely resolves to this machine would let a web site reach in (DNS rebinding).
        if (urlsplit(f"//{request.host}").hostname or "") not in ("127.0.0.1", "localhost", "::1"):
            abort(403, "This address is for this machine only.")
        if request.method in ("GET", "HEAD") or request.path.startswith("/v1/"):
            return
        if not _same_origin():
            abort(403, "This form was sent from another site.")
        if request.path.startswith("/_control/") and request.data and not request.is_json:
            abort(415, "Send JSON.")

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def _same_origin() -> bool:
    """Whether a browser says that this site's own page sent the form; a program says nothing at all."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin == f"http://{request.host}"


class _QuietHandler(WSGIRequestHandler):
    """No log line for each request: the panel shows what happened."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


def serve(options: Options, ready_file: Path | None = None) -> None:
    """Listen until SIGTERM or SIGINT."""
    store = Store(options.state)
    business = Business(store, options)
    deliverer = Deliverer(store, business, options)
    app = create_app(store, business, deliverer, options)
    server = make_server(options.host, options.port, app, threaded=True, request_handler=_QuietHandler)
    options.port = server.server_port
    options.url = f"http://{HOST}:{options.port}"

    def stop(signum: int, frame: object) -> None:
        # shutdown() waits for the loop that this very thread runs.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    deliverer.start()
    print(f"Stand-in for Stripe on {options.url} (this is not Stripe; no money moves)", flush=True)
    if ready_file is not None:
        part = ready_file.with_suffix(".part")
        part.write_text(options.url)
        part.replace(ready_file)
    server.serve_forever()
    heed_no_stop()
    deliverer.stop()
    server.server_close()
