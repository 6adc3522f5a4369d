"""Answers leave as small as their client can read them, and as they are where that is what it likes best."""

from __future__ import annotations

import gzip
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, Response

from app.web import compression

if sys.version_info >= (3, 14):
    from compression import zstd as standard
else:
    from backports import zstd as standard

PAGE = "<p>Compare the three quotes and say which is best value.</p>" * 40
UNPACK = {"zstd": standard.decompress, "gzip": gzip.decompress, None: bytes}


@pytest.fixture
def ask():
    app = Flask(__name__)
    compression.register(app)
    given: list[Response] = []
    app.add_url_rule("/", view_func=given.pop)

    def answer(response: Response, accepted: str = "gzip, deflate, br, zstd", **headers: str):
        given.append(response)
        return app.test_client().get("/", headers={"Accept-Encoding": accepted, **headers})

    return answer


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0, zstd;q=0", None),
        ("zstd;q=0, *", "gzip"),
        ("*", "zstd"),
        ("br", None),
        ("identity, gzip;q=0.5", None),
        ("GZIP", "gzip"),
        ("gzip;q=high", None),
        ("", None),
    ],
)
def test_client_gets_what_it_likes_best(ask, accepted, encoding):
    answer = ask(Response(PAGE), accepted)

    assert answer.headers.get("Content-Encoding") == encoding
    assert UNPACK[encoding](answer.data).decode() == PAGE
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "response",
    [
        Response(PAGE, mimetype="text/csv"),
        Response(PAGE, 404),
        Response(PAGE[: compression.MIN_BYTES - 1]),
        Response(iter([PAGE])),
        Response(PAGE, headers={"Content-Encoding": "br"}),
    ],
    ids=["another kind", "a refusal", "too small to be worth it", "comes bit by bit", "compressed already"],
)
def test_what_is_not_worth_it_leaves_as_it_is(ask, response):
    encoding = response.headers.get("Content-Encoding")

    answer = ask(response)

    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.text in PAGE


def test_an_answer_that_differs_for_another_reason_says_both(ask):
    assert ask(Response(PAGE, headers={"Vary": "HX-Request"})).headers["Vary"] == "HX-Request, Accept-Encoding"


def test_compressed_bytes_have_a_name_of_their_own(ask):
    def named() -> Response:
        response = Response(PAGE)
        response.set_etag("a")
        return response

    tags = {accepted: ask(named(), accepted).headers["ETag"] for accepted in ("", "gzip", "zstd")}

    assert tags == {"": '"a"', "gzip": '"a:gzip"', "zstd": '"a:zstd"'}
    assert ask(named(), "zstd", **{"If-None-Match": '"a:zstd"'}).status_code == 304
    assert ask(named(), "zstd", **{"If-None-Match": '"a:gzip"'}).status_code == 200


def test_many_at_once_get_each_their_own():
    texts = [f"{number} {PAGE}".encode() * (1 + number % 5) for number in range(400)]

    with ThreadPoolExecutor(16) as threads:
        packed = list(threads.map(compression.zstd, texts))

    assert [standard.decompress(each) for each in packed] == texts
    assert len(compression._idle) <= compression.KEPT


def test_a_compressor_that_failed_is_used_no_more():
    compression._idle.clear()
    with pytest.raises(TypeError):
        compression.zstd("no bytes")  # type: ignore[arg-type]

    assert not compression._idle
