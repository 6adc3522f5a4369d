"""Which release and which deployment a process is, so that the doctor can tell whom the public address leads to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from itsdangerous import BadSignature

from app.config import Config

from .signing import TimedSerializer, derive_key

CODE = Path(__file__).parents[1]
SUFFIXES = frozenset({".py", ".html", ".txt", ".md", ".css", ".js"})
LOOK_SECONDS = 300  # a look is good for so long
NOBODYS = "192.0.2.77"  # RFC 5737: what the doctor says it comes from, which nobody must believe


@cache
def release() -> str:
    """Of the code and the templates as they lie on the disk; read once, at the first question."""
    found = sha256()
    for path in sorted(path for path in CODE.rglob("*") if path.suffix in SUFFIXES):
        content = path.read_bytes()
        found.update(f"{path.relative_to(CODE).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def deployment(config: Config) -> str:
    """Of where its tables are: two deployments of one release, with the same secrets, differ."""
    where = f"{config.aws_region} {config.dynamodb_endpoint_url or ''} {config.table_prefix}"
    return derive_key(config.jwt_secrets[0], f"deployment: {where}")[:16]


@dataclass(frozen=True, slots=True)
class Looks:
    """Makes and reads the proof of a look from outside: what it is answered is nobody else's business."""

    secrets_newest_first: tuple[str, ...]

    def make(self) -> str:
        return str(self._serializer().dumps(token_hex(8)))

    def is_ours(self, proof: str) -> bool:
        try:
            self._serializer().loads(proof, max_age=LOOK_SECONDS)
        except BadSignature:
            return False
        return True

    def _serializer(self) -> TimedSerializer:
        return TimedSerializer(list(reversed(self.secrets_newest_first)), salt="doctor-looks")


def proxies_seen(forwarded_for: str) -> int:
    """How many have added themselves to X-Forwarded-For behind what the doctor has put there."""
    entries = [entry.strip() for entry in forwarded_for.split(",") if entry.strip()]
    return len(entries) - (entries.index(NOBODYS) + 1 if NOBODYS in entries else 0)
