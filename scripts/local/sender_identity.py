"""Make MAIL_FROM a verified sender of the local SES, which refuses mail from anyone else."""

import os
from email.utils import parseaddr

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    address = parseaddr(os.environ["MAIL_FROM"])[1]
    ses = boto3.client("sesv2", endpoint_url=os.environ["SES_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"])
    try:
        ses.create_email_identity(EmailIdentity=address)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


if __name__ == "__main__":
    main()
