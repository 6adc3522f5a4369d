"""Make MAIL_FROM a verified sender of the local SES, which refuses mail from anyone else."""

import os
from email.utils import parseaddr

import boto3
from botocore.exceptions import ClientError


def verify_sender(mail_from: str, endpoint_url: str, region: str) -> None:
    """Safe to repeat."""
    ses = boto3.client("sesv2", endpoint_url=endpoint_url, region_name=region)
    try:
        ses.create_email_identity(EmailIdentity=parseaddr(mail_from)[1])
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


if __name__ == "__main__":
    verify_sender(os.environ["MAIL_FROM"], os.environ["SES_ENDPOINT_URL"], os.environ["AWS_REGION"])
