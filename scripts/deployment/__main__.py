"""`scripts/deploy`: see deploy/aws/README.md."""

from __future__ import annotations

import argparse
import getpass
import sys
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts.deployment.settings import DeployError, read_settings
from scripts.deployment.steps import TEMPLATES, Deployment

NOT_KNOWN = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
)
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/deploy", description="Deploy to AWS, or go back. Safe to repeat.")
    parser.add_argument("--settings", type=Path, default=TEMPLATES / "deploy.toml")
    parser.add_argument("--dry-run", action="store_true", help="show every change and make none")
    parser.add_argument("--rollback", action="store_true", help="run the image before this one again")
    parser.add_argument("--image", default="", help="release this one, by its digest, and build nothing")
    parser.add_argument("--accept-unknown", action="store_true", help="release where the doctor cannot tell something")
    parser.add_argument(
        "--watch", type=float, default=300.0, metavar="SECONDS", help="how long alarms are watched (300)"
    )
    given = parser.parse_args(arguments)
    try:
        settings = read_settings(given.settings)

        @cache
        def client(service: str, region: str = settings.region) -> Any:
            patient = Config(retries={"mode": "standard", "total_max_attempts": 8})
            return boto3.client(service, region_name=region, config=patient)

        deployment = Deployment(
            settings,
            client,
            dry_run=given.dry_run,
            accept_unknown=given.accept_unknown,
            watch_seconds=given.watch,
            ask=getpass.getpass if sys.stdin.isatty() else None,
        )
        if given.rollback:
            deployment.rollback()
        else:
            deployment.run(given.image)
    except DeployError as error:
        return ended(str(error))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in NOT_KNOWN:
            return ended(f"AWS does not know these credentials ({code}): sign in anew, and start again.")
        if code in DENIED:
            return ended(f"These credentials may not do that: {error}. Deploying needs an administrator's.")
        return ended(f"AWS refused: {error}. Start again; what was done stays.")
    except BotoCoreError as error:
        return ended(f"AWS cannot be asked: {error}. Set AWS_PROFILE or sign in, look at the network, and start again.")
    except KeyboardInterrupt:
        return ended("Broken off. What CloudFormation has begun goes on by itself; start again to take it up.")
    if given.dry_run:
        print("Nothing was changed.")
    return 0


def ended(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
