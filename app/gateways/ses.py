"""Amazon SES v2: hands a finished mail over. https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from email_validator import EmailNotValidError, validate_email

from app.data.client import make_client
from app.domain.doctor import CannotTell

if TYPE_CHECKING:
    from app.config import Config

MAX_WORDS = 300  # of SES's own message
# Nothing is wrong with the mail: our sending as a whole is limited, paused or not set up yet.
LIMITS = frozenset(
    {
        *("Throttling", "ThrottlingException", "TooManyRequestsException", "TooManyRequests", "RequestThrottled"),
        *("LimitExceeded", "LimitExceededException", "MaxSendRateExceeded", "DailyQuotaExceeded"),
        *("SendingPausedException", "AccountSuspendedException", "AccountSendingPausedException"),
        *("ConfigurationSetSendingPausedException", "MailFromDomainNotVerifiedException"),
        *("MailFromDomainNotVerified", "FromEmailAddressNotVerified", "ServiceQuotaExceededException"),
        *("ProductionAccessNotGranted", "AccessDenied", "AccessDeniedException", "NotAuthorized"),
        *("InvalidClientTokenId", "UnrecognizedClientException", "ExpiredToken", "ExpiredTokenException"),
        *("SignatureDoesNotMatch", "InvalidSignatureException", "OptInRequired"),
    }
)
# The same, where SES says it in words. In the sandbox the recipient is "not verified": that is our account's state.
LIMIT_WORDS = re.compile(
    r"not verified|quota|sending rate|rate exceeded|throttl|sandbox|paused|suspended|shut ?down|under review", re.I
)
ADDRESS_CODES = frozenset({"MessageRejected", "BadRequestException", "InvalidParameterValue"})
ADDRESS_WORDS = re.compile(
    r"suppression list|blacklist|address.{0,40}(invalid|illegal|not valid|contains|does not exist)"
    r"|(invalid|illegal|malformed) (e-?mail )?(address|recipient|domain)|missing final '@domain'"
    r"|(local|domain)[ -]?(part|name|address)? ?(contains|is (not|in)|starts|ends)|unroutable|bounced|does not exist",
    re.I,
)


class MailRefused(Exception):
    """SES did not take the mail; it is offered again. Holds SES's own words."""

    def __init__(self, reason: str = "SES does not answer") -> None:
        super().__init__(reason)


class SendingLimited(MailRefused):
    """SES takes no mail from us for now, whoever it is for: a rate, the day's quota, a pause, an unverified sender."""


class AddressRefused(MailRefused):
    """SES will never deliver to this address."""


class SesGateway:
    def __init__(self, config: Config) -> None:
        self._client = make_client(config, "sesv2", config.ses_endpoint_url)
        self.account = SesAccount(self._client)
        self._sender = config.mail_from
        self._replies = {"ReplyToAddresses": [config.support_email]} if config.support_email else {}

    def send(self, *, to: str, subject: str, text: str, html: str, headers: Mapping[str, str]) -> str:
        """Send one mail and return SES's message id. Raises MailRefused. Not idempotent: SES has no such key."""
        try:
            answer = self._client.send_email(
                FromEmailAddress=self._sender,
                **self._replies,
                Destination={"ToAddresses": [ascii_address(to)]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": "UTF-8"},
                        "Body": {
                            "Text": {"Data": text, "Charset": "UTF-8"},
                            "Html": {"Data": html, "Charset": "UTF-8"},
                        },
                        "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
                    }
                },
            )
        except ClientError as error:
            raise refusal(error) from error
        except EmailNotValidError as error:
            raise AddressRefused("This is no address that mail can be sent to.") from error
        except (BotoCoreError, ResponseParserError, ValueError) as error:  # the last two: somebody else answered
            raise MailRefused(f"{type(error).__name__}: {error}"[:MAX_WORDS]) from error
        message_id = answer.get("MessageId")
        if not message_id:
            raise MailRefused("The answer holds no message id.")
        return str(message_id)


class SesAccount:
    """What SES says of our sending as a whole, for the doctor. Each raises CannotTell."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def sending(self) -> dict[str, Any]:
        """SES's account: `ProductionAccessEnabled`, `SendingEnabled`, `EnforcementStatus`, `SendQuota`."""
        answer = self._ask("get_account")
        if not isinstance(answer.get("SendQuota"), dict):
            raise CannotTell("something else answers in the place of SES")
        return answer

    def identity(self, name: str) -> dict[str, Any] | None:
        """An address or a domain, `VerifiedForSendingStatus` and `DkimAttributes`; None when SES does not know it."""
        return self._ask("get_email_identity", missing=True, EmailIdentity=name) or None

    def suppressed(self, most: int = 1_000) -> tuple[list[str], bool]:
        """Addresses that SES delivers nothing to, up to `most`, and whether there are more."""
        answer = self._ask("list_suppressed_destinations", PageSize=most)
        listed = answer.get("SuppressedDestinationSummaries") or []
        return [str(entry["EmailAddress"]) for entry in listed], bool(answer.get("NextToken"))

    def _ask(self, operation: str, *, missing: bool = False, **request: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code") or "refused")
            if missing and code == "NotFoundException":
                return {}
            right = f"ses:{''.join(part.title() for part in operation.split('_'))}"
            mend = f"give the role {right}, as CommandRole of deploy/aws/service.yaml has it"
            raise CannotTell(f"SES does not tell ({code})", mend if code.startswith("AccessDenied") else "") from error
        except (BotoCoreError, ResponseParserError, ValueError) as error:
            raise CannotTell(f"SES does not answer ({type(error).__name__})") from error
        return answer


def refusal(error: ClientError) -> MailRefused:
    """What SES's answer means: only words about the address end a mail, anything unknown is tried again."""
    found = error.response.get("Error", {})
    code, words = str(found.get("Code") or "refused"), " ".join(str(found.get("Message") or "").split())
    said = f"{code}: {words}"[:MAX_WORDS] if words else code
    if code in LIMITS or LIMIT_WORDS.search(words):
        return SendingLimited(said)
    if code in ADDRESS_CODES and ADDRESS_WORDS.search(words):
        return AddressRefused(said)
    return MailRefused(said)


def ascii_address(address: str) -> str:
    """SES wants an internationalised domain in its ASCII form; the part before the @ is ASCII at sign-up already."""
    return validate_email(address, check_deliverability=False, test_environment=True).ascii_email or address
