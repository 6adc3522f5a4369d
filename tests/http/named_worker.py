"""The app as it is deployed, whose answers name the worker process that gave them."""

import os

from app.wsgi import app

_deployed = app.wsgi_app


def named(environ, start_response):
    def start(status, headers, exc_info=None):
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], exc_info)

    return _deployed(environ, start)


app.wsgi_app = named
