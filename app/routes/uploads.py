"""Bodies larger than a form's: a view that takes them says so, and only those who are signed in may send one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from flask import request, session
from werkzeug.datastructures import FileStorage

from app import deps
from app.domain.errors import InvalidInput
from app.domain.tasks import ResultFile
from app.security import csrf

View = TypeVar("View", bound=Callable[..., Any])

MAX_FILES = 5
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_UPLOAD = MAX_FILES * MAX_FILE_BYTES + 256 * 1024


def takes_files(view: View) -> View:
    """Let those with a session of ours send files. The CSRF check reads the form, so here it waits for the limit."""

    @wraps(view)
    def limited(*args: Any, **kwargs: Any) -> Any:
        if "sid" in session:
            request.max_content_length = MAX_UPLOAD
        csrf.protect()
        return view(*args, **kwargs)

    return csrf.exempt(limited)


def store_files(task_id: str, uploads: Sequence[FileStorage]) -> list[ResultFile]:
    """Keep the files of a result. Raises InvalidInput and FilesUnavailable."""
    given = [upload for upload in uploads if upload.filename]
    if len(given) > MAX_FILES:
        raise InvalidInput(f"At most {MAX_FILES} files fit.", field="files")
    contents = [(upload.filename or "", upload.read(MAX_FILE_BYTES + 1)) for upload in given]
    for name, content in contents:
        if len(content) > MAX_FILE_BYTES:
            raise InvalidInput(f"{name} is larger than {MAX_FILE_BYTES // 1024 // 1024} MB.", field="files")
    return [deps.get().files.put(task_id, name, content) for name, content in contents]
