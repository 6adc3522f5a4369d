"""An answer that comes byte by byte ends when its time is over: a read time-out alone would begin anew with each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.data import Store
from app.data.client import call, make_client
from app.domain.errors import FilesUnavailable, OutcomeUnknown, PaymentsUnavailable, StoreUnavailable
from app.gateways.files import FileStore
from app.gateways.ses import MailRefused, SesGateway
from app.gateways.stripe import StripeGateway
from tests.faults.https import Authority, HttpsServer
from tests.support import make_account

ADA = "ada@example.com"
SECONDS = 1  # for a whole answer; those of the proxy take half a minute


@pytest.fixture
def shaky(config, store, proxy) -> Store:
    return Store(make_client(replace(config, store_timeout_seconds=SECONDS), endpoint_url=proxy.url), store.prefix)


def submit(store: Store, account) -> None:
    with store.transaction() as tx:
        tx.accounts.change_settings(account, theme="dark")


CALLS = {
    "read": (lambda store, account: store.accounts.find(ADA), StoreUnavailable),
    "write of one row": (lambda store, account: store.updates.accounts.change(account, theme="dark"), StoreUnavailable),
    "transaction": (submit, OutcomeUnknown),
    "scan, which goes the long way": (lambda store, account: store.accounts.search("a", limit=5), StoreUnavailable),
}


@pytest.mark.threat(102)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_whose_answer_dribbles_is_given_up(store, shaky, proxy, call):
    act, error = CALLS[call]
    account = make_account(store)
    proxy.every("dribble")

    with pytest.raises(error):
        act(shaky, account)

    assert {fault for _, fault in proxy.calls} == {"dribble"}


@pytest.mark.threat(102)
def test_a_call_whose_first_answer_dribbles_is_answered_by_the_next_try(store, shaky, proxy):
    account = make_account(store)
    proxy.first(1, "dribble", "UpdateItem")

    assert shaky.updates.accounts.change(account, theme="dark").theme == "dark"
    assert [fault for _, fault in proxy.calls] == ["dribble", "pass"]


@pytest.mark.threat(102)
def test_an_encrypted_answer_that_dribbles_is_given_up(config, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    answer = {"Item": {"email": {"S": "x" * 600}}}
    with HttpsServer(authority.context(), answer, dribbles=True) as server:
        client = make_client(replace(config, store_timeout_seconds=SECONDS), endpoint_url=server.url)
        with pytest.raises(StoreUnavailable):
            call(client, "get_item", TableName="Users", Key={"email": {"S": ADA}})
        assert len(server.seen) == 3


@pytest.mark.threat(102)
def test_files_are_given_up(proxy, monkeypatch):
    monkeypatch.setattr("app.gateways.files.READ_SECONDS", SECONDS)
    files = FileStore("results-of-tests", "us-east-1", proxy.url)
    proxy.every("dribble")

    for act in (lambda: files.put("task_a", "a.txt", b"a"), lambda: files.remove_all("task_a")):
        with pytest.raises(FilesUnavailable):
            act()
    assert proxy.heard_out == 0


@pytest.mark.threat(102)
def test_a_mail_is_given_up(config, proxy, monkeypatch):
    monkeypatch.setattr("app.data.client.MAIL_SECONDS", SECONDS)
    sender = SesGateway(replace(config, ses_endpoint_url=proxy.url))
    proxy.every("dribble")

    with pytest.raises(MailRefused):
        sender.send(to=ADA, subject="s", text="t", html="h", headers={})
    assert proxy.heard_out == 0


@pytest.mark.threat(102)
def test_stripe_is_given_up(proxy, monkeypatch):
    monkeypatch.setattr("app.gateways.stripe.READ_TIMEOUT_SECONDS", SECONDS)
    gateway = StripeGateway("sk_test_suite", proxy.url)
    proxy.every("dribble")

    with pytest.raises(PaymentsUnavailable):
        gateway.get_session("cs_test_1")

    assert (len(proxy.calls), proxy.heard_out) == (3, 0)
