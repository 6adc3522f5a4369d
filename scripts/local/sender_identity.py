"""Make MAIL_FROM a verified sender of the local SES, which refuses mail from anyone else."""

import os
import sys
from email.utils import parseaddr

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PATIENT = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})


def verify_sender(mail_from: str, endpoint_url: str, region: str) -> None:
    """Safe to repeat. Raises ClientError when SES does not take it, BotoCoreError when it cannot be reached."""
    ses = boto3.client("sesv2", endpoint_url=endpoint_url, region_name=region, config=PATIENT)
    try:
        ses.create_email_identity(EmailIdentity=parseaddr(mail_from)[1])
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def main() -> int:
    mail_from, url = os.environ["MAIL_FROM"], os.environ["SES_ENDPOINT_URL"]
    try:
        verify_sender(mail_from, url, os.environ["AWS_REGION"])
    except ClientError as error:
        print(f"SES at {url} does not take {mail_from!r} as a sender: {error}. Look at MAIL_FROM.", file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"SES at {url} cannot be reached: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
