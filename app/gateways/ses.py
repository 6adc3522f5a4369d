"""Amazon SES v2: hands a finished mail over. https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from email_validator import validate_email

from app.data.client import make_client

if TYPE_CHECKING:
    from app.config import Config


class MailRefused(Exception):
    """SES did not take the mail; it may be offered again."""


class SesGateway:
    def __init__(self, config: Config):
        self._client = make_client(config, "sesv2", config.ses_endpoint_url)
        self._sender = config.mail_from

    def send(self, *, to: str, subject: str, text: str, html: str) -> str:
        """Send one mail and return SES's message id. Raises MailRefused. Not idempotent: SES has no such key."""
        try:
            answer = self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [ascii_address(to)]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": "UTF-8"},
                        "Body": {
                            "Text": {"Data": text, "Charset": "UTF-8"},
                            "Html": {"Data": html, "Charset": "UTF-8"},
                        },
                    }
                },
            )
        except ClientError as error:
            raise MailRefused(error.response.get("Error", {}).get("Code", "refused")) from error
        except BotoCoreError as error:
            raise MailRefused(type(error).__name__) from error
        return answer["MessageId"]


def ascii_address(address: str) -> str:
    """SES wants an internationalised domain in its ASCII form; the part before the @ is ASCII at sign-up already."""
    return validate_email(address, check_deliverability=False).ascii_email or address
