"""Which addresses webhooks may be sent to."""

from __future__ import annotations

import pytest

from app.domain.errors import InvalidInput
from app.domain.receivers import is_public, target_of

PRIVATE = (
    *("0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1"),
    *("192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1"),
    *(
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:a9fe:a9fe::1",
        "2002:808:808::",
    ),
    *("3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1"),
    *("2a00:1450::5efe:a9fe:a9fe", "2a00:1450::200:5efe:a00:1", "2620:4f:8000::1", "not an address", ""),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_everybodys_is_refused(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "99.255.255.255", "172.32.0.1", "2606:4700:4700::1111"])
def test_an_address_of_the_internet_is_taken(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://example.com/", "ftp://example.com", "example.com", "https://", "https:///x", "https://example"),
        *("https://localhost/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/"),
        *(
            "https://127.1/",
            "https://example.0x7f/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://１２７.0.0.1/",
        ),
        *("https://a:b@example.com/", "https://a@example.com/", "https://@example.com/", "https://example.com/#x"),
        *("https://example.com:22/", "https://example.com:80/", "https://example.com:0/", "https://example.com:99999/"),
        *("https://exa mple.com/", "https://example.com/a b", "https://example.com\\@127.0.0.1/", "https://a\n.com/"),
        *("https://example.com/\x00", "https://-a.com/", "https://a..com/", "https://" + "a." * 130 + "com/"),
        *("https://example.com/" + "a" * 2_000, "https://example.com/%\r\nHost: x", None, 7),
    ],
)
def test_a_url_that_nothing_is_sent_to_is_refused(url):
    with pytest.raises(InvalidInput):
        target_of(url)


def test_a_url_is_written_in_one_way():
    assert target_of(" https://EXAMPLE.com. ").url == "https://example.com/"
    assert target_of("https://example.com:443/a?b=c d".replace(" ", "+")).url == "https://example.com/a?b=c+d"
    assert target_of("https://bücher.example:8443/ä").url == "https://xn--bcher-kva.example:8443/%C3%A4"
