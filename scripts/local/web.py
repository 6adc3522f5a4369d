"""The app as granian's workers load it locally: the same app, gone with the process that started the worker."""

import multiprocessing
from importlib import import_module

from scripts.local.child import die_with_parent

if (_parent := multiprocessing.parent_process()) is not None and _parent.pid is not None:
    die_with_parent(_parent.pid)

# Imported only after that promise: the import takes a while.
app = import_module("app.wsgi").app
