"""Codes of an authenticator and recovery codes, as pure rules."""

from datetime import timedelta

import pyotp
import pytest

from app.domain.second_factor import (
    RECOVERY_CODES,
    digits,
    new_recovery_codes,
    new_totp_secret,
    recovery_hash,
    totp_counter,
    totp_uri,
)
from tests.support import NOW

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STEP = int(NOW.timestamp()) // 30
RECOVERY = "abcdef-ghijkl-mnopqr-234567"


def code(step: int) -> str:
    return pyotp.TOTP(SECRET).generate_otp(step)


@pytest.mark.parametrize(("drift", "counter"), [(-2, None), (-1, STEP - 1), (0, STEP), (1, STEP + 1), (2, None)])
def test_a_code_counts_when_it_is_at_most_one_step_off(drift, counter):
    assert totp_counter(SECRET, code(STEP + drift), NOW, 0) == counter


def test_a_code_counts_once():
    assert totp_counter(SECRET, code(STEP), NOW, STEP - 1) == STEP
    assert totp_counter(SECRET, code(STEP), NOW, STEP) is None
    assert totp_counter(SECRET, code(STEP - 1), NOW, STEP) is None, "nor does an older one after it"


def test_a_code_lives_to_the_end_of_the_next_step():
    end = NOW + timedelta(seconds=59, microseconds=999_999)

    assert totp_counter(SECRET, code(STEP), end, 0) == STEP
    assert totp_counter(SECRET, code(STEP), NOW + timedelta(seconds=60), 0) is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("123456", "123456"),
        (" 123 456\n", "123456"),
        ("12345", None),
        ("1234567", None),
        ("12345a", None),
        ("١٢٣٤٥٦", "123456"),  # as a phone may show them
        ("१२३ ४५६", "123456"),
        ("½23456", None),
        ("", None),
        (None, None),
        (123456, None),
    ],
)
def test_six_digits_are_read_however_they_are_spaced(typed, kept):
    assert digits(typed) == kept


@pytest.mark.parametrize("typed", [RECOVERY.upper(), f" {RECOVERY}\r\n", RECOVERY.replace("-", " "), "\t" + RECOVERY])
def test_a_recovery_code_is_the_same_however_it_is_typed(typed):
    assert recovery_hash(typed) == recovery_hash(RECOVERY)


def test_recovery_codes_are_found_when_the_code_is_newer_than_they_are():
    """What the store keeps of one stays the same for ever: nobody could get in again otherwise."""
    assert recovery_hash(RECOVERY) == "ece3780e12d2279164f4bf55a9e55bc910c2ddf2"


@pytest.mark.parametrize("typed", ["", RECOVERY[:-1], RECOVERY + "a", "é" + RECOVERY[1:], "!" + RECOVERY[1:], None, 5])
def test_nothing_is_looked_up_when_it_cannot_be_a_recovery_code(typed):
    assert recovery_hash(typed) is None


def test_recovery_codes_are_random_and_readable():
    codes = new_recovery_codes()

    assert len(set(codes)) == len(codes) == RECOVERY_CODES
    assert all([len(group) for group in each.split("-")] == [6, 6, 6, 6] for each in codes)
    assert all(each == each.lower() and recovery_hash(each) for each in codes)


def test_an_authenticator_is_told_whose_account_it_is_for():
    assert totp_uri(SECRET, "ada@example.com") == (
        f"otpauth://totp/ImpacterAGI:ada%40example.com?secret={SECRET}&issuer=ImpacterAGI"
    )


def test_secrets_of_authenticators_are_random_and_long():
    secrets = {new_totp_secret() for _ in range(100)}

    assert len(secrets) == 100
    assert {len(each) for each in secrets} == {32}  # 160 bits
