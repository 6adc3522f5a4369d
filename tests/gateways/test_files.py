"""Files of results: stored under keys of ours, offered for a minute under a harmless name."""

import urllib.error
import urllib.request

import pytest

from app.domain.errors import FilesUnavailable
from app.gateways.files import FileStore, file_name
from tests.gateways.portal import ANSWERS, portal


@pytest.fixture
def files(dynamodb_url):
    files = FileStore("results-of-tests", "us-east-1", dynamodb_url)
    files.create_bucket()
    return files


def test_a_file_comes_back_as_it_was_when_its_link_is_followed(files):
    stored = files.put("task_a", "../Bericht über Q3.pdf", b"%PDF-1.7 \x00\xff")

    with urllib.request.urlopen(files.link(stored)) as answer:
        assert answer.read() == b"%PDF-1.7 \x00\xff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
    assert (stored.name, stored.size_bytes, stored.content_type) == ("Bericht über Q3.pdf", 11, "application/pdf")
    assert stored.key.startswith("results/task_a/")


def test_a_link_is_signed_and_short_lived_when_it_is_made(files):
    link = files.link(files.put("task_a", "a.txt", b"a"))

    assert "X-Amz-Signature=" in link
    assert "X-Amz-Expires=60" in link


def test_setting_up_changes_nothing_when_the_bucket_is_there(files):
    stored = files.put("task_a", "a.txt", b"a")

    files.create_bucket()

    with urllib.request.urlopen(files.link(stored)) as answer:
        assert answer.read() == b"a"


def test_the_files_of_one_task_are_gone_when_they_are_removed_once_or_twice(files):
    gone = [files.put("task_a", name, b"a") for name in ("a.txt", "b.txt")]
    kept = files.put("task_ab", "c.txt", b"c")

    files.remove_all("task_a")
    files.remove_all("task_a")

    assert [files.find("task_a", file.key.rpartition("/")[2]) for file in gone] == [None, None]
    assert files.find("task_ab", kept.key.rpartition("/")[2]) == kept


def test_every_file_is_listed_with_its_size_page_by_page(files, monkeypatch):
    for key, _ in list(files.sizes()):
        files.remove_all(key.split("/")[1])
    stored = [files.put(f"task_{number}", "a.txt", b"a" * number) for number in range(1, 6)]
    call, pages = files._call, []

    def two_a_page(operation, **request):
        pages.append(operation)
        return call(operation, **request, MaxKeys=2)

    monkeypatch.setattr(files, "_call", two_a_page)

    assert sorted(files.sizes()) == sorted((file.key, file.size_bytes) for file in stored)
    assert pages == ["list_objects_v2"] * 3


def test_the_bucket_is_made_when_the_region_is_another(dynamodb_url):
    files = FileStore("results-in-frankfurt", "eu-central-1", dynamodb_url)
    files.create_bucket()
    files.create_bucket()

    with urllib.request.urlopen(files.link(files.put("task_a", "ü.txt", b"a"))) as answer:
        assert answer.headers["Content-Disposition"] == "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%BC.txt"


def test_a_file_is_refused_in_plain_words_when_the_bucket_is_out_of_reach(dynamodb_url):
    with pytest.raises(FilesUnavailable):
        FileStore("no-such-bucket", "us-east-1", dynamodb_url).put("task_a", "a.txt", b"a")


@pytest.mark.parametrize("call", ["put", "find", "remove_all"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_answers_in_the_place_of_s3_has_kept_and_removed_nothing(monkeypatch, answer, call):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    given = {"put": ("task_a", "a.txt", b"a"), "find": ("task_a", "0" * 16), "remove_all": ("task_a",)}[call]
    with portal(*ANSWERS[answer]) as address, pytest.raises(FilesUnavailable):
        getattr(FileStore("results-of-tests", "us-east-1", address), call)(*given)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("C:\\Users\\ada\\report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ('a"b\r\nX: y.txt', 'a"bX: y.txt'),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "file"),
        ("..", "file"),
        ("x" * 300 + ".txt", "x" * 110 + ".txt"),
    ],
)
def test_a_name_is_harmless_when_it_is_shown(given, shown):
    assert file_name(given) == shown
