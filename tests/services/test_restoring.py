"""Back from a backup into a fresh prefix: the same tables, however often it was killed, and over nobody's rows."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.data import Store
from app.data.codec import encode_item
from app.data.recovery import Recovery, Window
from app.data.table_copies import TableCopies
from app.data.tables import ALL
from app.data.typed_json import digest, from_line, to_line
from app.domain.errors import InvalidInput, StoreUnavailable
from app.gateways.depots import Folder
from app.gateways.files import FileStore
from app.services import queue, tasks
from app.services.backup import looking, moments, own_export, restoring, result_files
from tests.data.test_typed_json import attributes
from tests.services.test_backup import ODD
from tests.services.test_payments import paid, record
from tests.support import NOW, make_account, make_operators

pytestmark = pytest.mark.long

OP, FRESH, NAME = "op@example.com", "Restored_", "tonight"


@pytest.fixture(scope="module")
def files(dynamodb_url) -> FileStore:
    found = FileStore("results-of-a-backup", "us-east-1", dynamodb_url)
    found.create_bucket()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory, dynamodb, setting_up, fresh_tables, files) -> Folder:
    """A depot with a backup of a product with something in it, and its file."""
    fresh_tables()
    store = Store(dynamodb, "ImpacterAGI_")
    make_operators(store, OP)
    record(store, paid(1), paid(2, email="bób@example.com"))
    done = tasks.submit(store, store.accounts.get("ada@example.com"), "Compare três banks", now=NOW).task.task_id
    queue.claim(store, OP, done, now=NOW)
    file = files.put(done, "banks – résumé.txt", b"One, two, three.")
    queue.complete(store, OP, done, "The second one.", files=[file], now=NOW)
    copies = TableCopies(setting_up, store.prefix)
    copies.put("Drafts", [ODD] + [{"account_id": {"S": f"acc_{n}"}, "text": {"S": "é" * n}} for n in range(60)])
    depot = Folder(tmp_path_factory.mktemp("made"))
    own_export.export(copies, depot, clock=lambda: NOW, name=NAME)
    result_files.keep(files, depot)
    return depot


@pytest.fixture
def fresh(setting_up) -> TableCopies:
    """A prefix that nothing has."""
    remove(setting_up)
    yield TableCopies(setting_up, FRESH)
    remove(setting_up)


def remove(client) -> None:
    for name in client.list_tables()["TableNames"]:
        if name.startswith(FRESH):
            client.update_table(TableName=name, DeletionProtectionEnabled=False)
            client.delete_table(TableName=name)


def restore(depot, copies, tmp_path, **more):
    return restoring.run(depot, looking.look(depot, NAME), copies, tmp_path / "checkpoint.json", **more)


def digests(copies) -> dict[str, int]:
    return {table.suffix: own_export.digest_of(copies, table.suffix) for table in ALL}


def expected(depot) -> dict[str, int]:
    return looking.read(depot, looking.look(depot, NAME)).digests


def test_a_restore_has_the_same_rows_and_the_books_agree(made, fresh, tmp_path, files):
    assert restore(made, fresh, tmp_path) == []

    assert digests(fresh) == expected(made)
    (odd,) = [row for part in range(4) for page, _ in fresh.pages("Drafts", part) for row in page if "binary" in row]
    assert digest(odd) == digest(ODD)
    assert (odd["number"], odd["binary"], odd["empty"]) == (ODD["number"], ODD["binary"], ODD["empty"])
    assert Store(fresh.client, FRESH).accounts.get("ada@example.com").credits_balance == 990


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.dictionaries(st.text("abßλ語", min_size=1, max_size=5), attributes, max_size=4), max_size=40))
def test_what_the_store_holds_goes_through_a_line_and_back_unchanged(made, setting_up, rows):
    """Random items of every type, as the store itself hands them out."""
    copies = TableCopies(setting_up, "ImpacterAGI_")
    keyed = [_storable(row) | {"account_id": {"S": f"random_{n}"}} for n, row in enumerate(rows)]
    copies.put("Drafts", keyed)

    read = {
        item["account_id"]["S"]: item for part in range(4) for page, _ in copies.pages("Drafts", part) for item in page
    }
    for item in keyed:
        found = read[item["account_id"]["S"]]
        assert from_line(to_line(found)) == found
        assert digest(found) == digest(item)


def _storable(item):
    """Without names that DynamoDB does not take: the empty one."""
    return {name: _plain(attribute) for name, attribute in item.items() if name}


def _plain(attribute):
    ((kind, value),) = attribute.items()
    if kind == "M":
        return {"M": _storable(value)}
    return {"L": [_plain(inner) for inner in value]} if kind == "L" else attribute


@pytest.mark.threat(116)
@pytest.mark.parametrize("broken_at", [1, 2, 5])
def test_a_restore_that_was_killed_goes_on_and_ends_the_same(made, fresh, tmp_path, monkeypatch, broken_at):
    monkeypatch.setattr(restoring, "WINDOW", 8)
    monkeypatch.setattr(restoring, "KEEP_SECONDS", 0)
    put, puts = TableCopies.put, itertools.count(1)

    def killed(self, table, items):
        put(self, table, items)
        if next(puts) == broken_at * 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TableCopies, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(made, fresh, tmp_path)
    said = []

    assert restore(made, fresh, tmp_path, say=said.append) == []

    assert digests(fresh) == expected(made)
    assert not [line for line in said if line.startswith("is it whole")], "it was read whole the first time"
    assert broken_at == 1 or [line for line in said if line.startswith("goes on behind ")]


def test_without_its_checkpoint_it_begins_anew_and_ends_the_same(made, fresh, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_compare", lambda *_: iter(["killed here"]))
        restore(made, fresh, tmp_path)
    (tmp_path / "checkpoint.json").unlink()

    assert restore(made, fresh, tmp_path) == []
    assert digests(fresh) == expected(made)


@pytest.mark.threat(116)
def test_rows_of_somebody_else_are_never_written_over(made, fresh, tmp_path, setting_up):
    assert restore(made, fresh, tmp_path) == []
    make_account(Store(fresh.client, FRESH), "after@example.com", credits=7)
    served = digests(fresh)

    assert restore(made, fresh, tmp_path) == []  # the same command once more
    (tmp_path / "checkpoint.json").unlink()
    with pytest.raises(InvalidInput, match="has ended: its rows are left as they are now"):
        restore(made, fresh, tmp_path)
    others = TableCopies(setting_up, "ImpacterAGI_")
    others.put("Drafts", [{"account_id": {"S": "acc_of_somebody"}}])
    with pytest.raises(InvalidInput, match=r"ImpacterAGI_\w+ has rows that are not of this restore"):
        restore(made, others, tmp_path)
    assert digests(fresh) == served


def test_a_checkpoint_of_another_restore_is_refused(made, fresh, tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"mark": "other", "digests": {}, "done": {}, "ended": false}')
    with pytest.raises(InvalidInput, match="is of another restore"):
        restore(made, fresh, tmp_path)
    (tmp_path / "checkpoint.json").write_text("[")
    with pytest.raises(InvalidInput, match="cannot be read: remove it"):
        restore(made, fresh, tmp_path)


@pytest.mark.threat(116)
def test_nothing_is_made_from_a_backup_that_is_not_whole(made, fresh, tmp_path):
    depot = Folder(tmp_path / "copy")
    shutil.copytree(str(made), str(depot))
    export = looking.look(depot, NAME).exports["Transactions"]
    file = Path(str(depot)) / looking.path_of(export, export.files[0])
    file.write_bytes(file.read_bytes()[:-5])

    with pytest.raises(restoring.NotWhole) as raised:
        restore(depot, fresh, tmp_path)

    assert [fault.what for fault in raised.value.faults] == ["the file ends too early: its end is cut off"]
    assert not [name for name in fresh.client.list_tables()["TableNames"] if name.startswith(FRESH)]


@pytest.mark.threat(116)
@pytest.mark.parametrize(("key", "found"), [("acc_1", "61, or others"), ("acc_new", "62, or others")])
def test_a_row_that_is_another_afterwards_is_named_by_its_table(made, fresh, tmp_path, monkeypatch, key, found):
    """Somebody is served from the half-restored tables: changes a draft, or makes one."""
    compare = restoring._compare

    def meddled(copies, *more):
        item = encode_item({"account_id": key, "text": "typed meanwhile"})
        copies.client.put_item(TableName=f"{FRESH}Drafts", Item=item)
        return compare(copies, *more)

    monkeypatch.setattr(restoring, "_compare", meddled)
    (named,) = restore(made, fresh, tmp_path)

    assert (named.subject, named.what, named.found) == ("Drafts", "rows of table Drafts", found)


def test_a_store_that_goes_away_ends_it_and_the_next_run_goes_on(made, fresh, tmp_path, monkeypatch):
    def away(*_):
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(TableCopies, "put", away)
        with pytest.raises(StoreUnavailable):
            restore(made, fresh, tmp_path)

    assert restore(made, fresh, tmp_path) == []


# To a moment


@pytest.fixture
def windows(monkeypatch) -> dict[str, Window]:
    """The emulator keeps no past, and says so of every moment but the present one."""
    found = {table.suffix: Window(NOW.replace(hour=1), NOW) for table in ALL}
    monkeypatch.setattr(Recovery, "window", lambda self, table: found.get(table))
    return found


def to_moment(fresh, moment=NOW):
    client = fresh.client
    return moments.run(Recovery(client, "ImpacterAGI_"), Recovery(client, FRESH), fresh, moment, sleep=lambda _: None)


def test_every_table_is_put_back_to_one_moment_and_a_repeat_goes_on(made, fresh, windows, monkeypatch):
    restore_one, begun = Recovery.restore, []

    def killed(self, table, *more):
        begun.append(table)
        if len(begun) == 5:
            raise KeyboardInterrupt
        restore_one(self, table, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "restore", killed)
        with pytest.raises(KeyboardInterrupt):
            to_moment(fresh)
    told = {f"{FRESH}{table}": (f"ImpacterAGI_{table}", NOW.replace(microsecond=0)) for table in begun[:4]}
    # As DynamoDB says of such a table; the emulator does not.
    monkeypatch.setattr(Recovery, "restored_from", lambda self, table: told.get(self.prefix + table))

    to_moment(fresh)
    to_moment(fresh)

    assert digests(fresh) == digests(TableCopies(fresh.client, "ImpacterAGI_"))


def test_a_moment_that_a_table_does_not_have_is_named_before_anything_is_made(fresh, windows):
    windows["Tasks"] = Window(NOW.replace(hour=2), NOW.replace(hour=3))
    del windows["Results"]

    with pytest.raises(InvalidInput) as raised:
        to_moment(fresh)

    assert "ImpacterAGI_Results has no point-in-time recovery" in raised.value.message
    assert "ImpacterAGI_Tasks can be put back to 2" in raised.value.message
    assert not [name for name in fresh.client.list_tables()["TableNames"] if name.startswith(FRESH)]


def test_a_table_of_something_else_is_not_taken_for_a_restored_one(made, fresh, tmp_path, windows):
    restore(made, fresh, tmp_path)
    with pytest.raises(InvalidInput, match="is there and not of this restore"):
        to_moment(fresh)


def test_the_window_of_a_table_is_what_dynamodb_says(store, setting_up):
    recovery = Recovery(setting_up, store.prefix)
    assert recovery.window("Users") is None
    assert Recovery(setting_up, "Nowhere_").window("Users") is None
    on = {"PointInTimeRecoveryEnabled": True}
    setting_up.update_continuous_backups(TableName="ImpacterAGI_Users", PointInTimeRecoverySpecification=on)
    found = recovery.window("Users")
    assert found is not None
    assert found.earliest.tzinfo is not None
    on = {"PointInTimeRecoveryEnabled": False}
    setting_up.update_continuous_backups(TableName="ImpacterAGI_Users", PointInTimeRecoverySpecification=on)


# At the command line


def test_the_command_restores_checks_and_says_what_comes_next(app, made, fresh, tmp_path, files):
    ours = app.extensions["impacteragi"].files
    ours.create_bucket()
    before = set(ours.sizes())
    run = app.test_cli_runner().invoke
    words = ["restore", "run", "--prefix", FRESH, "--from", str(made), "--checkpoint", str(tmp_path / "c.json")]

    done = run(args=words)

    assert done.exit_code == 0, done.output
    assert "The tables, the files and the books agree." in done.output
    assert f"TABLE_PREFIX={FRESH} flask --app app.wsgi books reconcile --since 20" in done.output
    ((key, _),) = set(ours.sizes()) - before
    task_id, file_id = key.split("/")[1:]
    found = ours.find(task_id, file_id)
    assert (found.name, found.size_bytes, ours.read(key)) == ("banks – résumé.txt", 16, b"One, two, three.")
    ttl = fresh.client.describe_time_to_live(TableName=f"{FRESH}Drafts")["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires_at"
    assert "this restore has ended" in run(args=words).output
    ours.remove_all(task_id)
    lacking = run(args=[*words, "--files", str(tmp_path / "nothing")])
    assert (lacking.exit_code, "none in the depot" in lacking.output) == (1, True), lacking.output
    assert "Next:" not in lacking.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--prefix'"),
        (["--prefix", "New_"], "Give either --from, a depot with backups, or --moment"),
        (["--prefix", "ImpacterAGI_", "--moment", "2026-11-30T12:00:00"], "--prefix takes a fresh one"),
        (["--prefix", "New_", "--from", "/nowhere"], "There is no backup in /nowhere."),
        (["--prefix", "New_", "--from", "s3://no-such-bucket-here"], "S3 refuses list_objects_v2"),
        (["--prefix", "New_", "--moment", "2026-11-30T12:00:00"], "ImpacterAGI_Users has no point-in-time recovery"),
    ],
)
def test_what_cannot_be_restored_is_said_in_words(app, words, said):
    found = app.test_cli_runner().invoke(args=["restore", "run", *words])

    assert found.exit_code in (1, 2)
    assert said in found.output
