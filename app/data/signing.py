"""What a call to DynamoDB is signed with: botocore's own canonical request, and a key that lasts for a day.

All requests of one operation are alike but for the moment and the body. So botocore writes each once, and afterwards
these two are put in their places; a comparison with what botocore sends is in tests/data/test_direct.py.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from botocore import auth
from botocore.awsrequest import AWSRequest

SERVICE, ENDS_IN = "dynamodb", "aws4_request"
MOMENT = "%Y%m%dT%H%M%SZ"
SOME_MOMENT = "20000101T000000Z"


@dataclass(frozen=True)
class _Alike:
    """All requests of an operation: `canonical` but for its last line, the body's hash; `head` of what is sent."""

    canonical: str
    head: str


class Signer:
    def __init__(self, url: str, region: str, user_agent: str) -> None:
        self._url, self._region, self._user_agent = url, region, user_agent
        self._alike = lru_cache(64)(self._written_once)  # the token of a role is another one every hour

    def head(self, operation: str, body: bytes, credentials: Any) -> bytes:
        """All that goes before the body. `credentials` are frozen ones, looked up for each call: a role's change."""
        moment = auth.get_current_datetime().strftime(MOMENT)
        alike = self._alike(operation, credentials)
        canonical = alike.canonical.replace(SOME_MOMENT, moment) + sha256(body).hexdigest()
        scope = f"{moment[:8]}/{self._region}/{SERVICE}/{ENDS_IN}"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = _key(credentials.secret_key, moment[:8], self._region)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return (alike.head % (moment, scope, signature, len(body))).encode()

    def _written_once(self, operation: str, credentials: Any) -> _Alike:
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        signed = headers | {"X-Amz-Date": SOME_MOMENT}
        if credentials.token:
            signed["X-Amz-Security-Token"] = credentials.token
        request, signer = (
            AWSRequest("POST", self._url, headers=signed, data=b""),
            auth.SigV4Auth(credentials, SERVICE, ""),
        )
        canonical = signer.canonical_request(request)
        if not canonical.endswith(auth.EMPTY_SHA256_HASH) or canonical.count(SOME_MOMENT) != 1:
            raise ValueError("botocore writes a canonical request in another way than is known here")
        names = signer.headers_to_sign(request)
        host = names["host"]
        told = {"Host": host, "User-Agent": self._user_agent, "Accept-Encoding": "identity", **headers}
        if credentials.token:
            told["X-Amz-Security-Token"] = credentials.token
        lines = [f"{name}: {value}".replace("%", "%%") for name, value in told.items()]
        access, signed_names = credentials.access_key.replace("%", "%%"), signer.signed_headers(names)
        authorization = f"AWS4-HMAC-SHA256 Credential={access}/%s, SignedHeaders={signed_names}, Signature=%s"
        head = ["POST / HTTP/1.1", *lines, "X-Amz-Date: %s", f"Authorization: {authorization}", "Content-Length: %d"]
        return _Alike(canonical.removesuffix(auth.EMPTY_SHA256_HASH), "\r\n".join([*head, "", ""]))


@lru_cache(16)
def _key(secret: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, region, SERVICE, ENDS_IN):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
