"""The store has written, and the answer is lost: what may happen once finds its own write and says yes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.data import Store
from app.data.client import make_client
from app.data.second_factors import Proof
from app.domain.accounts import BROWSER, HALF, Passkey, Session, session_key
from app.domain.clock import utcnow
from app.domain.errors import BadCredentials, DomainError, LinkExpired, WrongCode
from app.domain.mails import Mail
from app.services import accounts, codes, customers, mail, queue, second_factor, tasks
from app.services.links import Links
from app.services.passkeys import passkey_key
from app.services.passwords import Passwords
from app.services.sealing import Sealer
from app.web import deps
from app.web.visitors import adopter
from tests.routes.browser import Browser
from tests.security.test_second_factor import code
from tests.services.test_codes import make_code
from tests.support import NOW, PASSWORD, all_mails, ledger, make_account

ADA, OP = "ada@example.com", "op@example.com"
NEW = "another long password"
SECRET, RECOVERY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "abcdef-abcdef-abcdef-abcdef"
HALF_KEY = session_key("half")
BCRYPT = Passwords(4)


@pytest.fixture
def links(config) -> Links:
    return Links(config.jwt_secrets, config.app_url)


@pytest.fixture
def sealer(config) -> Sealer:
    return Sealer(config.jwt_secrets)


@pytest.fixture
def shaky(config, store, proxy) -> Store:
    return Store(make_client(config, endpoint_url=proxy.url), store.prefix, adopter())


@pytest.fixture
def ada(store, sealer):
    """Somebody with one of everything that can be used once."""
    account = make_account(store, credits=100)
    now = utcnow()
    sessions = {key: Session(key, kind, now, now) for key, kind in ((HALF_KEY, HALF), (session_key("whole"), BROWSER))}
    hashed = second_factor.recovery_hash(RECOVERY)
    return store.updates.accounts.change(
        account,
        sessions=sessions,
        confirmed_at=None,
        link_nonces={purpose: purpose[0] * 22 for purpose in ("reset", "set_password", "confirm")},
        totp=sealer.seal(SECRET),
        recovery_codes=frozenset({hashed}),
        challenge="assert:0:00",
    )


def token(links: Links, account, purpose: str) -> str:
    return links.url(account, purpose).rpartition("/")[2]


def half(account) -> Session:
    return account.sessions[HALF_KEY]


def finish(shaky, account, proof) -> None:
    signed_in = second_factor.finish_sign_in(shaky, account, half(account), proof, now=utcnow(), kind=BROWSER)
    assert session_key(signed_in.session_id) in signed_in.account.sessions


ACTS: dict[str, Callable[..., Any]] = {
    "reset link": lambda s, a, links, sealer: accounts.set_password(
        s, BCRYPT, links, token(links, a, "reset"), NEW, purpose="reset", now=utcnow()
    ),
    "set-password link": lambda s, a, links, sealer: accounts.set_password(
        s, BCRYPT, links, token(links, a, "set_password"), NEW, purpose="set_password", now=utcnow()
    ),
    "confirm link": lambda s, a, links, sealer: accounts.confirm_address(
        s, links, token(links, a, "confirm"), signed_in_as=ADA, now=utcnow()
    ),
    "right code": lambda s, a, links, sealer: finish(
        s, a, second_factor.prove_code(sealer, a, code(SECRET), now=utcnow())
    ),
    "recovery code": lambda s, a, links, sealer: finish(
        s, a, second_factor.prove_code(sealer, a, RECOVERY, now=utcnow())
    ),
    "passkey challenge": lambda s, a, links, sealer: finish(
        s,
        a,
        Proof("passkey", "#challenge = :challenge", params={"challenge": a.challenge}, remove=("challenge",)),
    ),
    "code in an open session": lambda s, a, links, sealer: second_factor.prove_session(
        s, a, session_key("whole"), second_factor.prove_code(sealer, a, code(SECRET), now=utcnow()), now=utcnow()
    ),
    "sign-in that rehashes": lambda s, a, links, sealer: accounts.sign_in(
        s, Passwords(5), ADA, PASSWORD, now=utcnow(), kind=BROWSER
    ),
}


def lose(proxy, tries: int, operation: str = "UpdateItem") -> None:
    proxy.first(tries, "lost", operation)


@pytest.mark.threat(107)
@pytest.mark.parametrize("tries", [1, 2, 3])  # of three: with the last, no answer comes at all
@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_counts_once_says_yes_when_its_answer_was_lost(store, shaky, proxy, ada, links, sealer, act, tries):
    before = set(ada.sessions)
    lose(proxy, tries)

    ACTS[act](shaky, ada, links, sealer)

    assert [fault for _, fault in proxy.calls].count("lost") == tries
    new = set(store.accounts.get(ADA).sessions) - before
    assert len(new) == (0 if act in ("confirm link", "code in an open session") else 1)


@pytest.mark.threat(107)
@pytest.mark.parametrize("act", [act for act in ACTS if act != "sign-in that rehashes"])
def test_it_still_counts_once(store, shaky, proxy, ada, links, sealer, act):
    """Somebody else's use is not taken for one's own, with the same clock and the same words."""
    lose(proxy, 1)
    ACTS[act](shaky, ada, links, sealer)
    left = store.accounts.get(ADA)

    with pytest.raises((LinkExpired, WrongCode)):
        ACTS[act](shaky, ada, links, sealer)

    assert dict(store.accounts.get(ADA).sessions) == dict(left.sessions)


@pytest.mark.threat(107)
def test_a_write_that_never_arrived_is_not_taken_for_done(store, shaky, proxy, ada, links, sealer):
    proxy.first(3, "cut", "UpdateItem")

    with pytest.raises(DomainError) as raised:
        ACTS["reset link"](shaky, ada, links, sealer)

    assert raised.value.code == "store_unavailable"
    assert BCRYPT.matches(PASSWORD, store.accounts.get(ADA).password_hash)


@pytest.mark.threat(107)
@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_mail_is_taken_and_sent_in_the_same_run(store, shaky, proxy, config, sender, tries):
    make_account(store)
    with store.transaction() as tx:
        tx.mails.enqueue(Mail("m-1", "security", ADA, NOW, {"what": "Something was changed."}))
    lose(proxy, tries)

    room = mail.MailRoom(Links(config.jwt_secrets, config.app_url), config.app_url)
    mail.deliver_due(shaky, room, sender, now=NOW + timedelta(minutes=1))

    assert len(sender.sent) == 1
    assert all_mails(store)[0].sent_at


TRANSACTIONS: dict[str, Callable[[Store, Any, str], Any]] = {
    "claim": lambda s, a, task: queue.claim(s, OP, task, now=utcnow()),
    "complete": lambda s, a, task: queue.complete(s, OP, task, "Done", now=utcnow()),
    "cancel": lambda s, a, task: queue.cancel(s, a, task, now=utcnow()),
    "disable": lambda s, a, task: customers.disable(s, OP, ADA, "A word", now=utcnow()),
    "redeem": lambda s, a, task: codes.redeem(s, a, "SPRING-2026", now=NOW),
    "delete": lambda s, a, task: accounts.delete(s, BCRYPT, a, PASSWORD, now=utcnow()),
    "sign up": lambda s, a, task: accounts.sign_up(s, BCRYPT, "new@example.com", NEW, now=utcnow(), kind=BROWSER),
    "password": lambda s, a, task: accounts.change_password(
        s, BCRYPT, a, PASSWORD, NEW, Session("k", BROWSER, NOW, NOW), now=utcnow()
    ),
}


@pytest.mark.threat(107)
@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("act", TRANSACTIONS)
def test_a_transaction_that_counts_once_says_yes_when_its_answer_was_lost(store, shaky, proxy, act, tries):
    account = make_account(store, credits=100)
    make_code(store)
    task_id = ""
    if act in ("claim", "complete", "cancel"):
        task_id = tasks.submit(store, account, "Compare", now=utcnow(), idempotency_key="r").task.task_id
    if act == "complete":
        queue.claim(store, OP, task_id, now=utcnow())
    lose(proxy, tries, "TransactWriteItems")

    TRANSACTIONS[act](shaky, store.accounts.get(ADA), task_id)

    assert [fault for _, fault in proxy.calls].count("lost") == tries
    assert len([entry for entry in ledger(store, ADA) if entry.type == "promo"]) == (2 if act == "redeem" else 1)


@pytest.mark.threat(107)
@pytest.mark.parametrize("purpose", ["reset", "set_password"])
def test_the_form_of_a_used_link_signs_in_who_sends_it_again(app, store, ada, links, purpose):
    """The answer never came, so the browser or the person sends the same form once more."""
    path = f"/{purpose.replace('_', '-')}/{token(links, ada, purpose)}"
    browser = Browser(app)
    browser.follow(path)
    form = {"password": NEW, "link": browser.page(path.rpartition("/")[0]).select_one("input[name=link]")["value"]}
    with app.app_context():
        accounts.set_password(
            store, deps.get().passwords, links, path.rpartition("/")[2], NEW, purpose=purpose, now=utcnow()
        )

    answer = browser.post(path.rpartition("/")[0], form)

    assert (answer.status_code, answer.location) == (303, "/login/second-factor")  # as the first answer would have
    assert browser.get("/login/second-factor").status_code == 200


@pytest.mark.threat(107)
def test_the_form_of_a_used_link_opens_nothing_with_another_password(app, store, ada, links):
    browser, path = Browser(app), f"/reset/{token(links, ada, 'reset')}"
    browser.follow(path)
    form = {"link": browser.page("/reset").select_one("input[name=link]")["value"]}
    with app.app_context():
        accounts.set_password(
            store, deps.get().passwords, links, path.rpartition("/")[2], NEW, purpose="reset", now=utcnow()
        )
    sessions = dict(store.accounts.get(ADA).sessions)

    assert browser.post("/reset", form | {"password": "quite another password"}).status_code == 410

    assert dict(store.accounts.get(ADA).sessions) == sessions
    assert BCRYPT.matches(NEW, store.accounts.get(ADA).password_hash)


@pytest.mark.threat(107)
def test_an_old_bystander_does_not_hide_ones_own_write(store, shaky, proxy, ada, links, sealer):
    """The mark is that of the write, not of the row: another write before it does not confuse the look."""
    store.updates.accounts.touch_session(ada, replace(ada.sessions[session_key("whole")]), utcnow())
    lose(proxy, 1)

    ACTS["reset link"](shaky, ada, links, sealer)

    with pytest.raises(BadCredentials):
        accounts.sign_in(store, BCRYPT, ADA, PASSWORD, now=utcnow(), kind=BROWSER)


# Sent again by a person or a program, after everything was lost


@pytest.mark.threat(107)
def test_a_sign_up_that_is_sent_again_signs_in(app, store):
    form = {"email": "new@example.com", "password": NEW}
    accounts.sign_up(store, BCRYPT, **form, now=utcnow(), kind=BROWSER)  # whose answer never came
    browser, program = Browser(app), app.test_client()

    again = browser.post("/signup", form)

    assert (again.status_code, again.location) == (303, "/dashboard")
    assert browser.get("/dashboard").status_code == 200
    answer = program.post("/api/auth/signup", json=form)
    assert answer.status_code == 201
    bearer = {"Authorization": f"Bearer {answer.get_json()['token']}"}
    assert program.get("/api/user", headers=bearer).status_code == 200
    assert Browser(app).post("/signup", form | {"password": "quite another password"}).status_code == 409
    assert len(all_mails(store)) == 1


@pytest.mark.threat(107)
def test_a_sign_up_that_is_sent_again_goes_around_no_second_factor(app, store, ada):
    browser, form = Browser(app), {"email": ADA, "password": PASSWORD}

    answer = browser.post("/signup", form)

    assert (answer.status_code, answer.location) == (303, "/login/second-factor")
    assert browser.get("/dashboard").status_code == 303
    sessions = dict(store.accounts.get(ADA).sessions)
    assert app.test_client().post("/api/auth/signup", json=form).status_code == 409
    assert dict(store.accounts.get(ADA).sessions) == sessions


@pytest.mark.threat(107)
@pytest.mark.parametrize("uses", [1, 3])
def test_a_code_that_is_sent_again_was_redeemed_by_it(app, store, uses):
    make_account(store)
    make_code(store, max_uses=uses, expires_at=utcnow() + timedelta(days=1))
    browser = Browser(app)
    browser.sign_in()
    form = {"code": "SPRING-2026"}
    form["request_id"] = browser.page("/credits").select_one("form[action$=redeem] [name=request_id]")["value"]

    first, again = browser.post("/credits/redeem", form), browser.post("/credits/redeem", form)
    other = browser.post("/credits/redeem", form | {"request_id": "another"})

    assert (first.status_code, again.status_code, other.status_code) == (303, 303, 422)
    assert len(ledger(store, ADA)) == 1


@pytest.mark.threat(107)
def test_a_program_that_redeems_again_with_its_key_is_told_what_the_first_call_did(app, store):
    make_account(store)
    make_code(store, expires_at=utcnow() + timedelta(days=1))
    program = app.test_client()
    token = program.post("/api/auth/login", json={"email": ADA, "password": PASSWORD}).get_json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k-1"}

    answers = [program.post("/api/redeem", json={"code": "SPRING-2026"}, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].get_json() == answers[1].get_json()
    assert len(ledger(store, ADA)) == 1


@pytest.mark.threat(107)
def test_a_confirmation_that_is_sent_again_says_that_the_address_is_confirmed(app, store, links):
    make_account(store, confirmed_at=None, link_nonces={"confirm": "c" * 22})
    make_account(store, "eve@example.com")
    path = links.url(store.accounts.get(ADA), "confirm").removeprefix(app.extensions["impacteragi"].config.app_url)
    browser = Browser(app)
    browser.sign_in()
    browser.follow(path)
    accounts.confirm_address(store, links, path.rpartition("/")[2], signed_in_as=ADA, now=utcnow())

    assert browser.post("/confirm", {}).status_code == 200
    eve = Browser(app)
    eve.sign_in("eve@example.com")
    assert eve.post("/confirm", {}).status_code == 410


@pytest.mark.threat(107)
def test_an_authenticator_that_is_turned_on_again_is_on(app, store):
    make_account(store)
    browser = Browser(app)
    browser.sign_in()
    path = "/account/second-factor/totp"
    browser.post(path, {"password": PASSWORD})
    secret = browser.page(f"{path}/code").select_one("#totp-secret").text.replace(" ", "")
    six = code(secret)

    first, again = browser.post(f"{path}/code", {"code": six}), browser.post(f"{path}/code", {"code": six})

    assert (first.status_code, again.status_code) == (200, 303)
    assert browser.post(f"{path}/code", {"code": "000000"}).status_code == 404
    assert [mail.kind for mail in all_mails(store)] == ["security"]


@pytest.mark.threat(107)
def test_a_passkey_that_is_sent_again_is_kept(app, store):
    kept = Passkey(passkey_key("AQID"), "AQID", "AQID", 0, "Mine", NOW)
    make_account(store, passkeys={kept.key: kept})
    (session,) = [accounts.sign_in(store, BCRYPT, ADA, PASSWORD, now=utcnow(), kind=BROWSER)]
    with app.app_context():
        account, passkeys = store.accounts.get(ADA), deps.get().passkeys

        def add(credential_id: str) -> list[str]:
            response = {"clientDataJSON": "e30", "attestationObject": "AQID"}
            about = {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}
            key = session_key(session.session_id)
            return second_factor.add_passkey(store, passkeys, account, json.dumps(about), "Mine", key, now=utcnow())

        assert add("AQID") == []
        with pytest.raises(WrongCode):
            add("BAUG")
    assert dict(store.accounts.get(ADA).passkeys) == {kept.key: kept}
    assert all_mails(store) == []


@pytest.mark.threat(107)
@pytest.mark.parametrize("rivals", [1, 2])
def test_a_rival_between_a_lost_try_and_its_repeat_hides_nothing(
    store, shaky, proxy, ada, links, sealer, monkeypatch, rivals
):
    tries = []

    def before(operation: str, _body: bytes) -> None:
        tries.append(operation)
        if len(tries) == 2:  # the repeat is on its way
            for _ in range(rivals):
                store.updates.accounts.touch_session(
                    store.accounts.get(ADA), replace(ada.sessions[session_key("whole")]), utcnow()
                )

    lose(proxy, 1)
    proxy.before = lambda operation, body: before(operation, body) if operation == "UpdateItem" else None

    ACTS["confirm link"](shaky, ada, links, sealer)

    assert store.accounts.get(ADA).confirmed
