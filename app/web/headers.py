"""The headers that every answer carries: what a page may load, and how long it may be kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

from app.web.etags import KEPT
from app.web.static_files import shows_its_own_hash

if TYPE_CHECKING:
    from app.config import Config

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self' https://checkout.stripe.com",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
# What Flask says of a file and no browser needs: Cache-Control and the ETag hold, and nobody asks for a part.
SAID_IN_VAIN = ("Accept-Ranges", "Content-Disposition", "Expires", "Last-Modified")
REPORTS_PATH = "/csp-reports"  # where browsers tell what they have refused
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def register(app: Flask, config: Config) -> None:
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365))
    every, transport = list(of_pages(config).items()), of_transport(config)

    @app.after_request
    def add_headers(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 304):
            response.headers["X-Content-Type-Options"] = "nosniff"  # the rest is for documents, and costs 1 KB a file
        else:
            response.headers.extend(every)  # nothing else says any of these: none has to be looked for first
            response.headers["X-Request-Id"] = g.get("request_id", "")
        response.headers.update(transport)
        if request.endpoint == "static" and response.status_code in (200, 304):
            # Without its hash an address may show something new.
            kept = shows_its_own_hash(app.static_folder)
            for name in SAID_IN_VAIN:
                response.headers.pop(name, None)
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        elif request.endpoint != "documents.openapi" or response.status_code not in (200, 304):
            is_named = request.path.startswith("/api/") and "ETag" in response.headers
            response.headers["Cache-Control"] = KEPT if is_named else "no-store"
        return response


def of_pages(config: Config) -> dict[str, str]:
    """What each document is sent with, whatever it shows."""
    return {**HEADERS, "Content-Security-Policy": content_security_policy(config)}


def of_transport(config: Config) -> dict[str, str]:
    return {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"} if config.is_production else {}


def content_security_policy(config: Config) -> str:
    policy = dict(POLICY)
    if config.stripe_api_base:  # development: checkout is handed over to the stand-in
        policy["form-action"] = f"'self' {config.stripe_api_base}"
    policy["report-uri"] = REPORTS_PATH
    return "; ".join(f"{name} {value}" for name, value in policy.items())
