"""Which addresses are one person's."""

import pytest

from app.domain.people import person_mark, person_of


@pytest.mark.parametrize(
    "other",
    [
        "ADA.Lovelace@Example.com",
        "adalovelace+fair@example.com",
        "a.d.a.lovelace+@example.com",
        "ada.lovelace+a+b@example.com.",
        " adalovelace@example.com ",
    ],
)
def test_one_person_however_the_address_is_written(other):
    assert person_of(other) == person_of("adalovelace@example.com") == "adalovelace@example.com"
    assert person_mark(other) == person_mark("adalovelace@example.com")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@googlemail.com", "a.da+x@gmail.com"),
        ("ada@b\u00fccher.example", "ada@bu\u0308cher.example"),
        ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("ada@B\u00dcCHER.example", "ada@b\u00fccher.example"),
        ("\uff41da@example.com", "ada@example.com"),
    ],
    ids=["googlemail", "decomposed", "punycode", "upper case", "full width"],
)
def test_one_person_however_the_domain_is_written(one, other):
    assert person_of(one) == person_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ada@example.org"),
        ("ada@example.com", "adb@example.com"),
        ("+a@example.com", "+b@example.com"),
    ],
)
def test_two_people_are_two(one, other):
    assert person_of(one) != person_of(other)
    assert person_mark(one) != person_mark(other)


def test_what_is_no_domain_name_is_left_as_it_is():
    assert person_of("ada@xn--\u00fc.example") == "ada@xn--\u00fc.example"
