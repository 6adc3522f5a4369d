"""Files of results: in a form what is too much of them is read past, so that the text beside them stays; and the way
to a stored one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import IO, Any

from flask import Request, redirect
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage, ImmutableMultiDict

from app.domain.errors import InvalidInput, NotFound
from app.domain.tasks import Result, ResultFile
from app.web import deps

MAX_FILES = 5
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_UPLOAD = MAX_FILES * (MAX_FILE_BYTES + 1)  # kept of one request
MAX_BODY_WITH_FILES = 256 * 1024 * 1024  # read of one request: beyond that the connection is what suffers, not the text
IN_MEMORY = 500 * 1024


class Sent(ImmutableMultiDict[str, Any]):
    """The fields of an address or of a form. Most that a view asks for are not there, and Werkzeug makes an exception
    with a description of each; here it is a look.
    """

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override]
        return super().get(key, default, type) if key in self else default


class UploadRequest(Request):
    """Keeps no more of a file than shows that it is too large, and of all files together no more than fit."""

    parameter_storage_class = Sent
    kept_bytes = 0

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return Capped(self)


class Capped(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that swallows what is beyond the limits."""

    def __init__(self, owner: UploadRequest) -> None:
        super().__init__(max_size=IN_MEMORY, mode="rb+")
        self._owner = owner
        self._left = MAX_FILE_BYTES + 1

    def write(self, data: Any) -> int:
        kept = data[: min(self._left, MAX_UPLOAD - self._owner.kept_bytes)]
        self._left -= len(kept)
        self._owner.kept_bytes += len(kept)
        super().write(kept)
        return len(data)


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


def file_link(result: Result | None, number: int) -> ResponseReturnValue:
    if result is None or not 1 <= number <= len(result.files):
        raise NotFound("There is no such file.")
    return redirect(deps.get().files.link(result.files[number - 1]), code=303)
