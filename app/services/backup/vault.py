"""The two places of the nightly backup, as settings name them: the bucket of the exports, and its copy."""

from __future__ import annotations

from app.config import Config
from app.gateways.depots import Bucket

EXPORTS = "exports"  # below this in both; results/ of the copy has the files of results


class Vault:
    """None where a setting names no bucket."""

    def __init__(self, config: Config) -> None:
        self.home = _bucket(config, config.backup_bucket, config.aws_region)
        region = config.backup_copy_region or config.aws_region
        self.copy = _bucket(config, config.backup_copy_bucket, region)
        self.files = _bucket(config, config.files_bucket, config.aws_region, prefix="")
        self.copied_files = _bucket(config, config.backup_copy_bucket, region, prefix="")


def _bucket(config: Config, name: str | None, region: str, prefix: str = EXPORTS) -> Bucket | None:
    return Bucket(name, prefix, region, config.s3_endpoint_url) if name else None
