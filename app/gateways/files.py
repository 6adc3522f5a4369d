"""S3: the files of results. They are kept under names of ours and leave by links that open for a minute."""

from __future__ import annotations

import logging
import mimetypes
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from app.data.connections import bound_answers
from app.domain.doctor import CannotTell
from app.domain.errors import FilesUnavailable
from app.domain.tasks import ResultFile

log = logging.getLogger(__name__)

LINK_SECONDS = 60
READ_SECONDS = 20  # for a whole answer
MAX_NAME = 120
ANSWERED = {  # what S3 says in each answer
    "put_object": {"ETag"},
    "get_object": {"ETag", "Body"},
    "head_object": {"ETag", "ContentLength", "ContentType"},
    "list_objects_v2": {"KeyCount"},
    "delete_object": set[str](),
}
LEFT_BEHIND = timedelta(hours=1)  # by a doctor whose process was killed
TRIED = "doctor/"  # where the doctor's file lies, for as long as it takes to read it again


class BucketRefused(Exception):
    """S3 said no to the doctor: which operation, and its own code."""

    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"{operation}: {code}")
        self.operation = operation
        self.code = code


class FileStore:
    """One bucket. The client is made at first use: most workers never need it."""

    def __init__(self, bucket: str, region: str, endpoint_url: str | None) -> None:
        self._bucket = bucket
        self._region = region
        self._endpoint_url = endpoint_url
        self._made: Any = None
        self._lock = threading.Lock()

    def put(self, task_id: str, name: str, content: bytes) -> ResultFile:
        """Store a file for a task. Raises FilesUnavailable."""
        shown = file_name(name)
        kind = mimetypes.guess_type(shown)[0] or "application/octet-stream"
        key = f"results/{task_id}/{secrets.token_hex(8)}"
        named = {"name": quote(shown, safe="")}  # metadata is ASCII
        self._call("put_object", Bucket=self._bucket, Key=key, Body=content, ContentType=kind, Metadata=named)
        return ResultFile(key, shown, len(content), kind)

    def read(self, key: str) -> bytes:
        """What a file holds. Raises FilesUnavailable."""
        answer = self._call("get_object", Bucket=self._bucket, Key=key) or {}
        try:
            content: bytes = answer["Body"].read()
        except (BotoCoreError, OSError) as error:
            raise self._unavailable("get_object", error) from error
        return content

    def put_back(self, file: ResultFile, content: bytes) -> None:
        """Store a file again under the key that it had. Safe to repeat. Raises FilesUnavailable."""
        named = {"name": quote(file.name, safe="")}
        self._call(
            "put_object", Bucket=self._bucket, Key=file.key, Body=content, ContentType=file.content_type, Metadata=named
        )

    def find(self, task_id: str, file_id: str) -> ResultFile | None:
        """A file that was stored for this very task, by the last part of its key. Raises FilesUnavailable."""
        if not re.fullmatch(r"[0-9a-f]{16}", file_id):
            return None
        key = f"results/{task_id}/{file_id}"
        head = self._call("head_object", missing=True, Bucket=self._bucket, Key=key)
        if head is None:
            return None
        name = unquote(head["Metadata"].get("name", "file"))
        return ResultFile(key, name, head["ContentLength"], head["ContentType"])

    def link(self, file: ResultFile) -> str:
        """An address that downloads the file for LINK_SECONDS; it is never shown in a page of the bucket's own."""
        request = {
            "Bucket": self._bucket,
            "Key": file.key,
            "ResponseContentDisposition": saved_as(file.name),
            "ResponseContentType": file.content_type,
        }
        link: str = self._client.generate_presigned_url("get_object", Params=request, ExpiresIn=LINK_SECONDS)
        return link

    def remove_all(self, task_id: str) -> None:
        """Delete every file that was stored for a task. Safe to repeat. Raises FilesUnavailable."""
        while found := self._listed(f"results/{task_id}/"):
            for stored in found:
                self._call("delete_object", Bucket=self._bucket, Key=stored["Key"])

    def bucket_region(self) -> str | None:
        """Where the bucket is, None where that is not said. Raises CannotTell, and BucketRefused for a bucket that is
        not there or lets nobody in.
        """
        answer = self._tried("head_bucket", Bucket=self._bucket)
        named = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = answer.get("BucketRegion") or named.get("x-amz-bucket-region")
        return str(region) if region else None

    def round_trip(self) -> None:
        """Put a file, read it again and remove it, and what an earlier try has left. Raises as `bucket_region`."""
        listed = self._tried("list_objects_v2", Bucket=self._bucket, Prefix=TRIED, MaxKeys=100)
        for left in listed.get("Contents") or ():
            if datetime.now(UTC) - left["LastModified"] > LEFT_BEHIND:
                self._tried("delete_object", Bucket=self._bucket, Key=left["Key"])
        key, content = TRIED + secrets.token_hex(8), secrets.token_bytes(32)
        self._tried("put_object", Bucket=self._bucket, Key=key, Body=content, ContentType="application/octet-stream")
        try:
            read = self._tried("get_object", Bucket=self._bucket, Key=key)["Body"].read()
        finally:
            self._tried("delete_object", Bucket=self._bucket, Key=key)
        if read != content:
            raise BucketRefused("get_object", "another content came back")

    def _tried(self, operation: str, **request: Any) -> dict[str, Any]:
        """One call of the doctor's, who wants to know what S3 itself has said."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            found = error.response.get("Error", {})
            raise BucketRefused(operation, str(found.get("Code") or "refused")) from error
        except (BotoCoreError, ResponseParserError, RecursionError, ValueError) as error:
            raise CannotTell(f"S3 does not answer ({type(error).__name__})") from error
        if not _is_signed(answer):
            raise CannotTell("something else answers in the place of S3")
        return answer

    def create_bucket(self) -> None:
        """For the local AWS only. Safe to repeat."""
        elsewhere = {"LocationConstraint": self._region}  # us-east-1 is where no place is named, and must not be named
        more = {} if self._region == "us-east-1" else {"CreateBucketConfiguration": elsewhere}
        try:
            self._client.create_bucket(Bucket=self._bucket, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Key and bytes of every file of a result, a thousand a request. Raises FilesUnavailable."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_objects_v2", Bucket=self._bucket, Prefix="results/", **more) or {}
            yield from ((stored["Key"], stored["Size"]) for stored in page.get("Contents") or [])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _listed(self, prefix: str) -> list[dict[str, Any]]:
        return (self._call("list_objects_v2", Bucket=self._bucket, Prefix=prefix) or {}).get("Contents") or []

    def _call(self, operation: str, *, missing: bool = False, **request: Any) -> dict[str, Any] | None:
        """What the store answers; None for a key that it does not have, where that is asked. Raises FilesUnavailable,
        also for the answer of a proxy or a portal in its place, which botocore would take for an empty one."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            told = error.response
            if missing and told["Error"]["Code"] in ("404", "NoSuchKey", "NotFound") and _is_signed(told):
                return None
            raise self._unavailable(operation, error) from error
        except (BotoCoreError, ResponseParserError, RecursionError, ValueError) as error:  # the last: others' redirects
            raise self._unavailable(operation, error) from error
        if not _is_signed(answer) or not ANSWERED[operation] <= answer.keys():
            raise self._unavailable(operation, "somebody else answered")
        return answer

    def _unavailable(self, operation: str, error: object) -> FilesUnavailable:
        log.error("files: %s failed: %s", operation, error if isinstance(error, str) else type(error).__name__)
        return FilesUnavailable()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = s3_client(self._region, self._endpoint_url)
            return self._made


def s3_client(region: str, endpoint_url: str | None, *, patient: bool = False) -> Any:
    """A client of S3: connect 2 s, a whole answer READ_SECONDS, three attempts. `patient` is for commands, which read
    files of any size: the whole of an answer is not bounded.
    """
    made = boto3.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        config=BotoConfig(
            connect_timeout=2,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3},
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
        ),
    )
    return made if patient else bound_answers(made)


def _is_signed(answer: dict[str, Any]) -> bool:
    """S3, and what stands in for it, names each request."""
    return "x-amz-request-id" in answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})


def saved_as(name: str) -> str:
    """The header that makes a browser save a file: the name for old programs in ASCII, and the whole one (RFC 6266)."""
    ascii_name = "".join(char if char.isascii() and char not in '"\\%' else "_" for char in name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def file_name(name: str) -> str:
    """The last part of a path, without what could break a header or a page."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char for char in last if unicodedata.category(char)[0] not in ("C", "Z") or char == " ").strip(" .")
    if len(plain) > MAX_NAME:
        stem, dot, suffix = plain.rpartition(".")
        plain = (stem or suffix)[: MAX_NAME - 10] + (dot + suffix[:9] if stem else "")
    return plain or "file"
