"""Exports of our own: in DynamoDB's format, whole, and what is wrong with one that is not is named."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from hashlib import md5
from pathlib import Path

import pytest

from app.data import Store
from app.data.codec import decode_item
from app.data.table_copies import TableCopies
from app.data.tables import ALL
from app.data.typed_json import digest
from app.domain.backups import FOLDER
from app.domain.errors import InvalidInput, StoreUnavailable
from app.gateways.depots import Bucket, Folder, open_depot
from app.services.backup import looking, own_export
from tests.services.test_payments import paid, record
from tests.support import NOW, make_account

pytestmark = pytest.mark.long

ODD = {
    "account_id": {"S": "الحساب – 帳戶\u2028\x85 🦉"},
    "number": {"N": "12345678901234567890123456789012345678"},
    "small": {"N": "-0.00000000000000000000000000000000000001"},
    "binary": {"B": bytes(range(256))},
    "texts": {"SS": ["", "é", "e\u0301"][1:]},
    "numbers": {"NS": ["1", "2.5"]},
    "binaries": {"BS": [b"\x00", b"\xff\n"]},
    "empty": {
        "M": {"text": {"S": ""}, "list": {"L": []}, "map": {"M": {}}, "nothing": {"NULL": True}, "B": {"S": "b"}}
    },
    "list": {"L": [{"BOOL": False}, {"L": [{"B": b""}]}]},
}
TONIGHT = "tonight"
store = pytest.fixture(lambda empty_store: empty_store)


@pytest.fixture
def copies(store, setting_up) -> TableCopies:
    """A product with something in it."""
    record(store, paid(1), paid(2, email="bob@example.com"))
    copies = TableCopies(setting_up, store.prefix)
    copies.put("Drafts", [ODD])
    return copies


@pytest.fixture
def depot(tmp_path) -> Folder:
    return Folder(tmp_path / "backups")


def exported(copies, depot, **more):
    return own_export.export(copies, depot, clock=lambda: NOW, **more)


def faults(depot, name: str) -> set[tuple[str, str]]:
    backup = looking.read(depot, looking.look(depot, name))
    return {(fault.subject, fault.what) for fault in backup.faults}


def folder_of(depot: Folder, name: str, table: str) -> Path:
    return Path(str(depot)) / looking.look(depot, name).exports[table].folder


def rows_of(copies, table: str):
    return [item for part in range(4) for items, _ in copies.pages(table, part) for item in items]


def test_an_export_is_whole_and_holds_every_row(copies, depot):
    done = exported(copies, depot)

    backup = looking.read(depot, looking.look(depot, done.name))
    assert (backup.faults, backup.torn, done.torn) == ([], [], ())
    assert backup.exports.keys() == {table.suffix for table in ALL} == done.rows.keys()
    assert done.rows["Users"] == 2
    for table, export in backup.exports.items():
        found = [item for file in export.files for item in looking.items_of(depot, export, file)]
        assert {digest(item) for item in found} == {digest(item) for item in rows_of(copies, table)}
    (odd,) = [
        item
        for file in backup.exports["Drafts"].files
        for item in looking.items_of(depot, backup.exports["Drafts"], file)
    ]
    assert odd["binary"] == ODD["binary"]
    assert odd["account_id"] == ODD["account_id"]
    assert odd["empty"] == ODD["empty"]


@pytest.mark.threat(116)
def test_what_is_in_a_folder_is_nobody_elses_to_read(copies, depot):
    exported(copies, depot)

    assert {path.stat().st_mode & 0o077 for path in Path(str(depot)).rglob("*") if path.is_file()} == {0}


def test_manifests_and_files_are_those_that_dynamodb_writes(copies, depot):
    done = exported(copies, depot)
    folder = folder_of(depot, done.name, "Users")

    summary = json.loads((folder / "manifest-summary.json").read_text())
    assert summary["tableArn"].endswith(":table/ImpacterAGI_Users")
    assert summary["exportArn"] == f"{summary['tableArn']}/export/{folder.name}"
    assert summary["manifestFilesS3Key"] == f"{done.name}/AWSDynamoDB/{folder.name}/manifest-files.json"
    assert (summary["itemCount"], summary["outputFormat"], summary["exportType"]) == (2, "DYNAMODB_JSON", "FULL_EXPORT")
    lines = [json.loads(line) for line in (folder / "manifest-files.json").read_text().splitlines()]
    assert sum(line["itemCount"] for line in lines) == 2
    for line in lines:
        content = (Path(str(depot)) / line["dataFileS3Key"]).read_bytes()
        sealed = md5(content).digest()
        assert line["md5Checksum"] == base64.b64encode(sealed).decode()
        assert line["etag"] == md5(sealed).hexdigest() + "-1"  # S3's, of a file sent in one part
        emails = [decode_item(json.loads(row)["Item"])["email"] for row in gzip.decompress(content).splitlines()]
        assert len(emails) == line["itemCount"]
    for name in ("manifest-summary", "manifest-files"):
        sealed = md5((folder / f"{name}.json").read_bytes()).digest()
        assert (folder / f"{name}.md5").read_bytes() == base64.b64encode(sealed)


def test_a_table_that_changes_while_it_is_read_is_said_to_be_of_no_moment(copies, depot, store):
    said = []

    def say(line: str) -> None:
        if line.startswith("Status: ") and not said:  # the last of all: the others have been read
            said.append(line)
            make_account(store, "late@example.com", credits=5)

    done = exported(copies, depot, say=say)

    assert {"Users", "Transactions"} <= set(done.torn)
    assert not {"Tasks", "Payments"} & set(done.torn)
    assert set(looking.look(depot, done.name).torn) == set(done.torn)


@pytest.fixture
def short_pages(monkeypatch) -> None:
    """Pages of three rows, and a data file for each."""
    ask = TableCopies._patiently

    def short(self, operation, **request):
        return ask(self, operation, **request, **({"Limit": 3} if operation == "scan" and "Segment" in request else {}))

    monkeypatch.setattr(TableCopies, "_patiently", short)
    monkeypatch.setattr(own_export, "FILE_BYTES", 0)


@pytest.mark.parametrize("broken_at", ["progress.json", "-00000.json.gz", "-00002.json.gz"])
def test_an_export_that_was_killed_goes_on_and_is_like_one_that_was_not(
    copies, depot, monkeypatch, short_pages, broken_at
):
    """Killed at a write: the file is there, and nothing has noted it yet."""
    copies.put("Drafts", [{"account_id": {"S": f"acc_{n}"}, "place": {"N": str(n)}} for n in range(40)])
    whole = exported(copies, depot, name="whole")
    write, writes, rest = Folder.write, [], []

    def killed(self, name: str, content: bytes) -> None:
        if any(broken_at in name for name in writes):  # it is gone, with all its threads
            raise KeyboardInterrupt
        write(self, name, content)
        writes.append(name)
        if broken_at in name:
            raise KeyboardInterrupt

    def watched(self, name: str, content: bytes) -> None:
        write(self, name, content)
        rest.append(name)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            exported(copies, depot, name="broken")
    if broken_at != "progress.json":  # the very first: nothing is there
        assert {what for _, what in faults(depot, "broken")} >= {"the table is missing: no export of it has ended"}

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", watched)
        again = exported(copies, depot, name="broken")

    assert again.rows == whole.rows
    one, two = (looking.read(depot, looking.look(depot, name)) for name in ("whole", "broken"))
    assert (two.faults, two.torn, two.digests) == ([], [], one.digests)
    # What was noted is not read again: no more is written twice than what each of the four parts was at.
    assert len({name for name in writes if "/data/" in name} & set(rest)) <= 4


def test_a_backup_that_has_ended_is_never_written_to_again(copies, depot):
    done = exported(copies, depot)

    with pytest.raises(InvalidInput, match="holds a backup that has ended"):
        exported(copies, depot, name=done.name)


def test_a_store_that_lacks_a_table_is_not_exported(store, setting_up, depot):
    with pytest.raises(InvalidInput, match="There is no table Nowhere_Users"):
        exported(TableCopies(setting_up, "Nowhere_"), depot)


def test_a_store_that_goes_away_ends_it_in_words(copies, depot, monkeypatch):
    def away(*_, **__):
        raise StoreUnavailable

    monkeypatch.setattr(TableCopies, "_patiently", away)
    with pytest.raises(StoreUnavailable):
        exported(copies, depot)


def test_a_bucket_holds_the_same_as_a_folder(copies, depot, dynamodb_url):
    bucket = open_depot("s3://exports-of-a-test/nightly/", "us-east-1", dynamodb_url)
    assert isinstance(bucket, Bucket)
    bucket._client.create_bucket(Bucket="exports-of-a-test")

    done = exported(copies, bucket)

    assert looking.names(bucket) == [done.name]
    found = looking.read(bucket, looking.look(bucket, done.name))
    exported(copies, depot, name="folder")
    assert (found.faults, found.digests) == ([], looking.read(depot, looking.look(depot, "folder")).digests)


# What is wrong with one


@pytest.fixture(scope="module")
def made(tmp_path_factory, dynamodb, setting_up, fresh_tables) -> Path:
    """Two backups, exported once: `tonight`, and `later` with an account more."""
    fresh_tables()
    store = Store(dynamodb, "ImpacterAGI_")
    record(store, paid(1), paid(2, email="bob@example.com"))
    found = Folder(tmp_path_factory.mktemp("made"))
    copies = TableCopies(setting_up, store.prefix)
    exported(copies, found, name="tonight")
    make_account(store, "later@example.com")
    own_export.export(copies, found, clock=lambda: NOW.replace(year=2027), name="later")
    return Path(str(found))


@pytest.fixture
def damaged(made, depot) -> tuple[Path, Path]:
    """The folder of `tonight`'s Users, and a data file with rows."""
    shutil.copytree(made, str(depot))
    folder = folder_of(depot, "tonight", "Users")
    (file, *_) = sorted((folder / "data").iterdir())
    return folder, file


def name_of(depot: Folder, path: Path) -> str:
    return path.relative_to(str(depot)).as_posix()


@pytest.mark.threat(116)
def test_a_table_that_is_missing_is_named(damaged, depot):
    folder, _ = damaged
    shutil.rmtree(folder)

    assert faults(depot, TONIGHT) == {("Users", "the table is missing: no export of it has ended")}
    assert looking.look(depot, TONIGHT, without=["Users"]).faults == []


@pytest.mark.threat(116)
def test_an_export_that_has_not_ended_is_named(damaged, depot):
    folder, _ = damaged
    (folder / "manifest-summary.json").unlink()

    assert ("Users", "the table is missing: no export of it has ended") in faults(depot, TONIGHT)
    assert "it has no manifest-summary.json" in str(faults(depot, TONIGHT))


@pytest.mark.threat(116)
def test_a_data_file_that_is_missing_is_named(damaged, depot):
    _, file = damaged
    file.unlink()

    assert faults(depot, TONIGHT) == {(f"Users: {name_of(depot, file)}", "the data file is missing")}


@pytest.mark.threat(116)
def test_a_file_whose_end_is_cut_off_is_named(damaged, depot):
    _, file = damaged
    file.write_bytes(file.read_bytes()[:-9])

    assert faults(depot, TONIGHT) == {(f"Users: {name_of(depot, file)}", "the file ends too early: its end is cut off")}


@pytest.mark.threat(116)
@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'{"Item":{}}\n', mtime=0)[:12] + b"torn"])
def test_a_file_that_cannot_be_unpacked_is_named(damaged, depot, content):
    _, file = damaged
    file.write_bytes(content)

    ((subject, what),) = faults(depot, TONIGHT)
    assert subject == f"Users: {name_of(depot, file)}"
    assert what in ("it cannot be unpacked: it is damaged", "the file ends too early: its end is cut off")


@pytest.mark.threat(116)
def test_a_file_of_another_day_is_named_whether_it_was_swapped_or_added(damaged, depot):
    folder, file = damaged
    of_another_day = folder_of(depot, "later", "Users")
    (other, *_) = sorted((of_another_day / "data").iterdir())
    shutil.copy(other, folder / "data" / "added.json.gz")
    found = (f"Users: {name_of(depot, folder)}/data/added.json.gz", "no manifest names this data file")
    assert faults(depot, TONIGHT) == {found}
    (folder / "data" / "added.json.gz").unlink()

    file.write_bytes(gzip.compress(b'{"Item":{"email":{"S":"eve@example.com"}}}\n'))
    ((subject, what),) = faults(depot, TONIGHT)
    assert subject == f"Users: {name_of(depot, file)}"
    assert what.startswith("it is another file than the manifest names: md5 ")


@pytest.mark.threat(116)
def test_a_table_of_another_day_is_named(damaged, depot):
    folder, _ = damaged
    other = folder_of(depot, "later", "Users")
    shutil.rmtree(folder)
    shutil.copytree(other, folder.parent / other.name)

    assert "it is of another moment: 2027-" in str(faults(depot, TONIGHT))
    shutil.copytree(Path(str(depot)) / "later" / FOLDER, folder.parent, dirs_exist_ok=True)
    assert "it is there twice: " in str(faults(depot, TONIGHT))


def reseal(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.json").write_text(text)
    (folder / f"{name}.md5").write_bytes(base64.b64encode(md5(text.encode()).digest()))


@pytest.mark.threat(116)
def test_manifests_with_another_count_are_named(damaged, depot):
    folder, file = damaged
    text = (folder / "manifest-summary.json").read_text()
    (folder / "manifest-summary.json").write_text(text.replace('"itemCount": 2', '"itemCount": 3'))
    assert "it is not the manifest that manifest-summary.md5 is of" in str(faults(depot, TONIGHT))

    reseal(folder, "manifest-summary", text.replace('"itemCount": 2', '"itemCount": 3'))
    told = "the two manifests do not fit one another: 3 rows in manifest-summary.json, 2 in manifest-files.json"
    assert faults(depot, TONIGHT) == {("Users", told)}

    files = (folder / "manifest-files.json").read_text().splitlines()
    (named,) = [line for line in files if file.name in line]
    more = json.loads(named)["itemCount"] + 1
    changed = [json.dumps(json.loads(line) | ({"itemCount": more} if line == named else {})) for line in files]
    reseal(folder, "manifest-files", "\n".join(changed))
    found = (f"Users: {name_of(depot, file)}", f"it holds {more - 1} rows, the manifest says {more}")
    assert faults(depot, TONIGHT) == {found}


@pytest.mark.threat(116)
def test_a_line_that_is_no_item_is_named(damaged, depot):
    folder, file = damaged
    file.write_bytes(gzip.compress(b'{"Item":{"email":"ada"}}\n'))
    seal = base64.b64encode(md5(file.read_bytes()).digest()).decode()
    files = [json.loads(line) for line in (folder / "manifest-files.json").read_text().splitlines()]
    changed = [line | ({"md5Checksum": seal} if file.name in line["dataFileS3Key"] else {}) for line in files]
    reseal(folder, "manifest-files", "\n".join(map(json.dumps, changed)))

    assert faults(depot, TONIGHT) == {(f"Users: {name_of(depot, file)}", "line 1 is no item of DynamoDB")}


def test_a_manifest_that_is_none_and_one_of_another_export_are_named(damaged, depot):
    folder, _ = damaged
    other = folder_of(depot, TONIGHT, "Tasks")
    text, of_tasks = ((where / "manifest-files.json").read_text() for where in (folder, other))
    reseal(folder, "manifest-files", "{}")
    assert "Line 1 names no data file" in str(faults(depot, TONIGHT))

    reseal(folder, "manifest-files", of_tasks)
    assert "the manifest names a file of another export than " in str(faults(depot, TONIGHT))

    reseal(folder, "manifest-files", text)
    shutil.copy(other / "manifest-summary.json", folder / "manifest-summary.json")
    assert "it is not the manifest that manifest-summary.md5 is of" in str(faults(depot, TONIGHT))


def test_an_empty_folder_is_no_backup(depot):
    assert faults(depot, "2026-11-30") == {("2026-11-30", "no export is there: no folder AWSDynamoDB/…")}
    assert looking.names(depot) == []


# At the command line


def test_the_commands_export_list_and_verify(app, copies, depot, tmp_path):
    run = app.test_cli_runner().invoke
    where = str(depot)
    app.extensions["impacteragi"].files.create_bucket()

    assert run(args=["backup", "list", "--from", where]).output == f"There is no backup in {where}.\n"
    made = run(args=["backup", "export", "--to", where, "--name", "tonight"])
    assert (made.exit_code, "all tables are of one moment." in made.output) == (0, True), made.output
    assert "tonight  " in run(args=["backup", "list", "--from", where]).output
    assert "tonight is whole: " in run(args=["backup", "verify", "--from", where]).output

    (file, *_) = sorted((folder_of(depot, "tonight", "Users") / "data").iterdir())
    file.unlink()
    lacking = run(args=["backup", "verify", "tonight", "--from", where])
    assert (lacking.exit_code, "the data file is missing" in lacking.output) == (1, True)
    assert "1 fault" in run(args=["backup", "list", "--from", where]).output
    told = json.loads(run(args=["backup", "verify", "--json", "--from", where]).stdout)
    assert [fault["what"] for fault in told["faults"]] == ["the data file is missing"]
    again = run(args=["backup", "export", "--to", where, "--name", "tonight"])
    assert (again.exit_code, "holds a backup that has ended" in again.output) == (1, True)


def test_a_depot_that_cannot_be_reached_is_said_in_words(app, copies, tmp_path):
    run = app.test_cli_runner().invoke
    (tmp_path / "file").write_text("")

    for where in ("s3://", "s3://no-such-bucket", str(tmp_path / "file" / "below")):
        found = run(args=["backup", "export", "--to", where])
        assert (found.exit_code, found.exception.__class__) == (1, SystemExit), where
        assert found.output.strip()
