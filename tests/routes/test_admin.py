"""The operators' pages: closed to customers, live, and each act with its audit row."""

import csv
import io
from datetime import timedelta

import pytest

from app.domain.clock import utcnow
from app.domain.payments import PaymentRecord
from app.services import queue, tasks
from tests.routes.browser import Browser, soup
from tests.support import NOW, all_mails, every_task, make_account

OPERATOR_PAGES = [
    "/admin",
    "/admin?view=working",
    "/admin/tasks/{task}",
    "/admin/tasks/{task}/files/1",
    "/admin/customers",
    "/admin/customers/{ada}",
    "/admin/corrections",
    "/admin/mails",
    "/admin/audit",
    "/admin/audit.csv",
    "/admin/overview",
    "/admin/system",
]


@pytest.fixture
def ada(store):
    return make_account(store, credits=100)


@pytest.fixture
def op(store, app) -> Browser:
    make_account(store, "op@example.com", role="admin")
    browser = Browser(app)
    browser.enter("op@example.com")
    return browser


@pytest.fixture
def task(store, ada):
    return submit(store)


def submit(store, text="Summarise the report"):
    return tasks.submit(store, store.accounts.get("ada@example.com"), text, now=utcnow()).task


def filled(store, path, task):
    return path.format(task=task.task_id, ada=store.accounts.get("ada@example.com").account_id)


def words(response):
    return " ".join(soup(response).select_one("main").get_text(" ").split())


def status(store, task):
    return store.tasks.get(task.task_id, owner="ada@example.com").status


@pytest.mark.threat(88)
@pytest.mark.parametrize("path", OPERATOR_PAGES)
def test_a_page_shows_nothing_when_a_customer_opens_it(store, app, task, path):
    make_account(store, "bob@example.com")
    bob = Browser(app)
    bob.sign_in("bob@example.com")

    answer = bob.get(filled(store, path, task))

    assert answer.status_code == 403
    assert "ada@example.com" not in answer.text
    assert "Summarise" not in answer.text
    assert Browser(app).get(filled(store, path, task)).status_code == 303  # signed out: to the sign-in page


@pytest.mark.threat(88)
@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/admin/claim-next", {}),
        ("/admin/bulk", {"act": "claim"}),
        ("/admin/tasks/{task}/claim", {}),
        ("/admin/tasks/{task}/complete", {"result": "Done"}),
        ("/admin/tasks/{task}/reject", {"reason": "No"}),
        ("/admin/customers/{ada}/adjust", {"amount": "5", "reason": "x", "confirmed": "yes"}),
        ("/admin/customers/{ada}/disable", {"reason": "x"}),
        ("/admin/customers/{ada}/end-sessions", {}),
        ("/admin/mails/resend", {"mail_id": "x"}),
    ],
)
def test_an_act_is_refused_when_a_customer_tries_it(store, app, task, path, data):
    make_account(store, "bob@example.com")
    bob = Browser(app)
    bob.sign_in("bob@example.com")

    assert bob.post(filled(store, path, task), data).status_code == 403

    assert status(store, task) == "pending"
    assert store.accounts.get("ada@example.com").credits_balance == 90
    assert store.audit.search(until=utcnow().date(), days=1, limit=10).items == []


def test_an_act_is_refused_when_the_form_has_no_token(store, op, task):
    for path in (f"/admin/tasks/{task.task_id}/claim", f"/admin/tasks/{task.task_id}/complete"):
        assert op.client.post(path, data={"result": "x"}).status_code == 400

    assert status(store, task) == "pending"


@pytest.mark.threat(90)
def test_a_demoted_operator_is_out_at_the_next_request(store, op):
    assert op.get("/admin").status_code == 200

    store.updates.accounts.change(store.accounts.get("op@example.com"), role="customer")

    assert op.get("/admin").status_code == 403
    assert op.post("/admin/claim-next", {}).status_code == 403


@pytest.mark.parametrize("path", OPERATOR_PAGES)
def test_a_page_opens_when_an_operator_asks(store, op, task, path):
    if "files" in path:
        assert op.get(filled(store, path, task)).status_code == 404
    else:
        assert op.get(filled(store, path, task)).status_code == 200


def test_the_queue_shows_the_oldest_first_when_it_is_opened(store, op, ada):
    made = [submit(store, f"Task {number}") for number in range(3)]

    page = op.page("/admin")

    shown = [link["href"] for link in page.select("#queue .queue a")]
    assert shown == [f"/admin/tasks/{task.task_id}" for task in made]


def test_the_queue_is_live_when_it_is_open(store, op, task):
    tag = op.page("/admin").select_one("#queue-live")["data-hx-ptag"]
    assert op.get("/admin", fragment=True, **{"HX-PTag": tag}).status_code in (200, 304)  # a minute may have passed
    tag = op.page("/admin").select_one("#queue-live")["data-hx-ptag"]

    queue.claim(store, "two@example.com", task.task_id, now=utcnow())
    answer = op.get("/admin", fragment=True, **{"HX-PTag": tag})

    assert answer.status_code == 200
    assert "Nothing is waiting." in answer.text
    assert soup(answer).select_one("header") is None


def test_ticks_stay_when_the_queue_refreshes(store, op, task):
    submit(store, "Another")

    page = op.page(f"/admin?task_id={task.task_id}")

    assert [box["value"] for box in page.select("input[name=task_id][checked]")] == [task.task_id]


def test_a_task_is_worked_from_the_queue_when_all_goes_well(store, op, task):
    claimed = op.post("/admin/claim-next", {"minutes": "60"})
    page = op.page(claimed.headers["Location"])
    done = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "# Done\r\n\r\nAll of it."})

    assert page.select_one("#answer textarea")
    assert done.status_code == 303
    assert status(store, task) == "completed"
    _, result = store.tasks.get_with_result(task.task_id)
    assert result.text == "# Done\n\nAll of it."
    assert [mail.kind for mail in all_mails(store)] == ["task_completed"]
    assert "op@example.com completed the task" in words(op.get(f"/admin/tasks/{task.task_id}"))


def test_a_file_reaches_the_customer_when_it_is_attached(store, app, op, task, config):
    app.extensions["impacteragi"].files.create_bucket()
    op.post("/admin/claim-next", {})

    op.post(
        f"/admin/tasks/{task.task_id}/complete",
        {"result": "See the file", "files": [(io.BytesIO(b"x" * 200_000), "report.pdf"), (io.BytesIO(b"b"), "b.csv")]},
    )

    ada = Browser(app)
    ada.sign_in()
    page = ada.page(f"/tasks/{task.task_id}")
    assert [link.get_text() for link in page.select("a[href*='/files/']")] == ["report.pdf", "b.csv"]
    link = ada.get(f"/tasks/{task.task_id}/files/1")
    assert link.status_code == 303
    assert "X-Amz-Signature" in link.headers["Location"]
    assert ada.get(f"/tasks/{task.task_id}/files/3").status_code == 404


def test_a_body_is_refused_early_when_nobody_is_signed_in(app, store, task):
    answer = app.test_client().post(
        f"/admin/tasks/{task.task_id}/complete", data={"files": (io.BytesIO(b"x" * 200_000), "big.bin")}
    )

    assert answer.status_code == 413


def test_what_was_written_stays_when_the_lease_is_lost(store, op, task):
    queue.claim(store, "op@example.com", task.task_id, now=utcnow() - timedelta(hours=1))
    queue.claim(store, "two@example.com", task.task_id, now=utcnow())

    answer = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "A long answer"})

    assert answer.status_code == 409
    assert "two@example.com is working on this task" in words(answer)
    assert soup(answer).select_one("#result").get_text().strip() == "A long answer"
    assert status(store, task) == "in-progress"


def test_a_rejection_needs_a_reason_when_it_is_sent(store, op, task):
    assert op.post(f"/admin/tasks/{task.task_id}/reject", {"reason": " "}).status_code == 422
    assert store.accounts.get("ada@example.com").credits_balance == 90

    assert op.post(f"/admin/tasks/{task.task_id}/reject", {"reason": "Not possible"}).status_code == 303
    assert store.accounts.get("ada@example.com").credits_balance == 100
    assert op.post(f"/admin/tasks/{task.task_id}/reject", {"reason": "Again"}).status_code == 409


def test_ticked_tasks_are_claimed_and_completed_when_done_in_bulk(store, op, ada):
    made = [submit(store, f"Task {number}") for number in range(3)]
    taken = submit(store, "Taken")
    queue.claim(store, "two@example.com", taken.task_id, now=utcnow())
    ids = [task.task_id for task in [*made, taken]]

    answer = op.post("/admin/bulk", {"act": "claim", "task_id": ids})
    claimed = op.page("/admin?view=mine")
    compose = op.post("/admin/bulk", {"act": "compose", "task_id": ids[:3]})
    empty = op.post("/admin/bulk", {"act": "complete", "task_id": ids[:3], "result": ""})
    op.post("/admin/bulk", {"act": "complete", "task_id": ids[:3], "result": "All done"})

    assert answer.status_code == 200
    outcomes = [" ".join(row.get_text(" ").split()) for row in soup(answer).select("#main .card li")]
    assert outcomes[:2] == ["Task 0 Claimed", "Task 1 Claimed"]
    assert outcomes[3] == "Taken Not claimed: two@example.com is working on this task."
    assert len(claimed.select("#queue .queue li")) == 3
    assert compose.status_code == 200
    assert empty.status_code == 422
    assert sorted(task["status"] for task in every_task(store)) == ["completed"] * 3 + ["in-progress"]


def test_an_adjustment_is_previewed_then_booked_when_it_is_confirmed(store, op, ada):
    form = {"amount": "-30", "reason": "Billed twice", "request_id": "r-1"}

    preview = op.post(f"/admin/customers/{ada.account_id}/adjust", form)
    assert "Balance after 70" in words(preview)
    assert store.accounts.get("ada@example.com").credits_balance == 100

    for _ in range(2):  # a double click
        assert op.post(f"/admin/customers/{ada.account_id}/adjust", form | {"confirmed": "yes"}).status_code == 303
    assert store.accounts.get("ada@example.com").credits_balance == 70


@pytest.mark.parametrize("amount", ["", "abc", "0", "-101", "1.5"])
def test_an_adjustment_is_refused_in_its_form_when_it_is_wrong(store, op, ada, amount):
    answer = op.post(f"/admin/customers/{ada.account_id}/adjust", {"amount": amount, "reason": "x", "request_id": "r"})

    assert answer.status_code == 422
    assert soup(answer).select_one("#amount-error")


def test_a_large_adjustment_needs_two_when_it_is_confirmed(store, app, op, ada):
    form = {"amount": "6000", "reason": "Migration", "request_id": "r-1", "confirmed": "yes"}
    op.post(f"/admin/customers/{ada.account_id}/adjust", form)
    (waiting,) = store.proposals.list_waiting(limit=5).items
    assert op.post(f"/admin/corrections/{waiting.adjustment_id}/approve", {}).status_code == 403
    make_account(store, "two@example.com", role="admin")
    two = Browser(app)
    two.sign_in("two@example.com")

    assert "ada@example.com" in words(two.get("/admin/corrections"))
    assert two.post(f"/admin/corrections/{waiting.adjustment_id}/approve", {}).status_code == 303

    assert store.accounts.get("ada@example.com").credits_balance == 6100


@pytest.mark.threat(68)
def test_a_disabled_customer_is_out_at_once(store, app, op, ada):
    browser = Browser(app)
    browser.sign_in()
    assert browser.get("/dashboard").status_code == 200

    op.post(f"/admin/customers/{ada.account_id}/disable", {"reason": "Fraud"})
    shown = op.page(f"/admin/customers/{ada.account_id}").select_one("#events [title='account.disable']")
    assert shown.text == "disabled the account"

    assert browser.get("/dashboard").status_code == 303


def test_the_customers_timeline_tells_everything_when_it_is_opened(store, op, ada, task):
    queue.reject(store, "op@example.com", task.task_id, "Not possible", now=utcnow())

    text = words(op.get(f"/admin/customers/{ada.account_id}"))

    for part in ("To begin with", "Refund, rejected", "Summarise the report", "Task rejected", "100 credits"):
        assert part in text
    assert op.get("/admin/customers/acc_of_nobody").status_code == 404


def test_the_customers_timeline_tells_who_is_signed_in(app, op, ada):
    browser = Browser(app)
    browser.sign_in()

    assert "Sign-in A browser" in words(op.get(f"/admin/customers/{ada.account_id}"))


STANDINGS = {
    "frozen": {"frozen_at": NOW},
    "disabled": {"disabled_at": NOW},
    "owing": {"credits": -40},
    "not confirmed": {"confirmed_at": None},
}


@pytest.mark.parametrize("standing", STANDINGS)
def test_a_tag_says_in_what_standing_an_account_is_and_leads_to_what_to_do(store, op, standing):
    account = make_account(store, "bea@example.com", **STANDINGS[standing])
    with store.transaction() as tx:
        tx.payments.save(None, PaymentRecord("pi_1", user_email="bea@example.com"), NOW)
    for place in ("/admin/customers", "/admin/finance/payments/pi_1"):
        (tag,) = soup(op.get(place)).select("a.tag")

        assert tag.text == standing
        path, _, name = tag["href"].partition("#")
        assert path == f"/admin/customers/{account.account_id}"
        page = soup(op.get(path))
        note = page.select_one(f".note#{name}")
        assert note.select_one("b").text.lower().startswith(standing.removesuffix("ing"))
        for link in note.select("a"):
            way, _, place = link["href"].partition("#")
            assert soup(op.get(way or path)).select_one(f"#{place}")


def test_an_account_in_good_order_has_no_tag(op, ada):
    assert not soup(op.get(f"/admin/customers/{ada.account_id}")).select("a.tag, .note")


def test_customers_are_found_by_any_part_of_the_address_and_by_an_id(op, ada, task):
    for asked in ("ADA@example.com", "a@exam"):
        assert "ada@example.com" in words(op.get(f"/admin/customers?q={asked}"))
    page = soup(op.get(f"/admin/customers?q={task.task_id}"))
    assert page.select_one(f"a[href='/admin/tasks/{task.task_id}']")
    assert page.select_one(f"a[href='/admin/customers/{ada.account_id}']")
    assert "Searched: addresses that contain “zed”." in words(op.get("/admin/customers?q=zed"))
    assert "give at least 3 characters" in words(op.get("/admin/customers?q=ad"))


def test_the_timeline_is_filtered_by_kind_and_paged(op, ada, task):
    path = f"/admin/customers/{ada.account_id}"

    fragment = op.get(f"{path}?kind=ledger", fragment=True)

    section = soup(fragment).select_one("#events")
    assert section.select_one("[aria-current]").text == "Ledger"
    assert {item["class"][0] for item in section.select("li")} == {"ledger"}
    page = soup(op.get(path))
    assert not page.select("#events li.ledger a")  # the task's spend is told by the task
    assert page.select_one("#events li.task b").text == "−10"
    assert op.get(f"{path}?kind=nonsense").status_code == op.get(f"{path}?cursor=x").status_code == 400


def test_a_failed_mail_goes_out_again_when_an_operator_resends_it(store, app, op, task, sender):
    queue.reject(store, "op@example.com", task.task_id, "No", now=utcnow())
    (mail,) = store.mails.list_due(utcnow())
    store.updates.mails.mark_unsent(mail, "Throttled", utcnow(), give_up=True)

    assert "Throttled" in words(op.get("/admin/mails"))
    assert op.post("/admin/mails/resend", {"mail_id": mail.mail_id}).status_code == 303
    assert op.post("/admin/mails/resend", {"mail_id": "unknown"}).status_code == 404

    assert [due.mail_id for due in store.mails.list_due(utcnow())] == [mail.mail_id]
    assert [row.action for row in store.audit.page_of("ada@example.com", limit=5).items] == ["mail.resend"]


def acts(page):
    return [cell.get_text() for cell in page.select("td.did")]


def test_the_audit_log_filters_and_pages_when_asked(store, op, task):
    queue.claim(store, "op@example.com", task.task_id, now=utcnow())
    queue.release(store, "op@example.com", task.task_id, now=utcnow(), reason="=cmd()")
    queue.reject(store, "two@example.com", task.task_id, "=1+1", now=utcnow())

    def shown(query):
        return acts(op.page(f"/admin/audit{query}"))

    assert shown("") == ["Rejected the task", "Released the task", "Claimed the task"]
    assert shown("?actor=op@example.com") == ["Released the task", "Claimed the task"]
    assert shown("?action=credits.") == []
    assert shown(f"?subject={task.task_id}&actor=two@example.com") == ["Rejected the task"]
    assert shown("?until=2020-01-01") == []
    first = op.page("/admin/audit?limit=2")
    older = first.select_one("nav.pager a")["href"]
    assert acts(op.page(older)) == ["Claimed the task"]
    for bad in ("?until=tomorrow", "?cursor=nonsense", "?cursor=2026-11-22~!!"):
        assert op.get(f"/admin/audit{bad}").status_code == 400


@pytest.mark.threat(91)
def test_the_audit_log_names_several_as_a_person_would(store, op):
    with store.transaction() as tx:
        tx.audit.record(
            actor="op@example.com", action="code.create", subject="FAIR", reason="", now=utcnow(),
            after={"counted": ["op@example.com", "boss@example.com"]},
        )  # fmt: skip

    assert "counted: op@example.com, boss@example.com" in op.page("/admin/audit").text


def test_the_audit_log_exports_harmless_cells_when_a_reason_is_a_formula(store, op, ada, task):
    queue.reject(store, "op@example.com", task.task_id, "=HYPERLINK(1)", now=utcnow())

    rows = list(csv.DictReader(io.StringIO(op.get("/admin/audit.csv?for=program").text)))

    assert [(row["action"], row["reason"]) for row in rows] == [("task.reject", "'=HYPERLINK(1)")]


@pytest.mark.threat(78)
def test_hostile_text_is_shown_as_text_when_operators_read_it(store, op, ada):
    task = submit(store, "<script>alert(1)</script><img src=x onerror=alert(1)>")
    queue.claim(store, "op@example.com", task.task_id, now=utcnow())
    for path in ("/admin?view=mine", f"/admin/tasks/{task.task_id}", f"/admin/customers/{ada.account_id}"):
        page = op.page(path)
        assert not [script for script in page.select("script") if not script.get("src")]
        assert not page.select("img")


def test_the_overview_counts_when_tasks_were_closed(store, op, ada):
    first, second = submit(store, "One"), submit(store, "Two")
    submit(store, "Three")
    queue.claim(store, "op@example.com", first.task_id, now=utcnow())
    queue.complete(store, "op@example.com", first.task_id, "Done", now=utcnow())
    queue.reject(store, "op@example.com", second.task_id, "No", now=utcnow())

    page = op.page("/admin/overview")

    assert [tile.get_text() for tile in page.select(".tiles dd")] == ["1", "0", "1", "–"]
    labels = " ".join(svg["aria-label"] for svg in page.select("svg"))
    assert "1 completed, 1 rejected, 0 cancelled" in labels
