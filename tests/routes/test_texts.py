"""Whom to write to, and what holds: pages, footers, mails and the doctor say it, or that nobody has filled it in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app import create_app
from app.config import ConfigError
from app.domain.errors import Forbidden
from app.domain.mails import Mail
from app.gateways.ses import SesGateway
from app.services.mail import deliver_due
from app.services.texts import TITLES, Texts
from app.web import deps
from tests.routes.browser import Browser, soup
from tests.support import NOW, FakeSender, make_account

SUPPORT = "help@example.com"
NOT_YET = "The operator of this installation has not filled this in yet."


@pytest.fixture
def made(config, store, stripe, sender):
    """The app with other settings."""

    def make(**settings):
        return create_app(replace(config, **settings), store=store, sender=sender, stripe=stripe)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "terms.md").write_text("# Terms of use\n\n## Prices\n\nAs **agreed**. <script>x</script>\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", TITLES)
def test_a_page_that_nobody_has_written_says_so(browser, name):
    page = browser.page(f"/{name}")

    assert NOT_YET in page.text
    assert page.select_one("h1").text == TITLES[name]
    assert [heading.name for heading in page.select("main :is(h1, h2, h3, h4)")][:2] == ["h1", "h2"]


def test_what_the_operator_has_written_takes_its_place(made, folder):
    browser = Browser(made(pages_dir=str(folder)))

    terms, privacy = browser.page("/terms"), browser.page("/privacy")

    assert NOT_YET not in terms.text
    assert (terms.select_one("h1").text, terms.select_one("h2").text) == ("Terms of use", "Prices")
    assert terms.select_one(".rich strong").text == "agreed"
    assert not terms.select("main script")
    assert NOT_YET in privacy.text, "one that is missing stays as it is"


@pytest.mark.parametrize("content", [b"", b" \n\xe2\x80\x80\n"])
def test_an_empty_file_counts_as_none(tmp_path, content):
    (tmp_path / "privacy.md").write_bytes(content)

    assert Texts.read(str(tmp_path)).not_filled_in == list(TITLES)


@pytest.mark.parametrize(("content", "words"), [(b"\xff\xfeT\x00", "UTF-8"), (b"x" * 200_001, "larger than 200 KB")])
def test_a_file_that_cannot_be_read_stops_the_start_by_its_name(tmp_path, content, words):
    (tmp_path / "contact.md").write_bytes(content)

    with pytest.raises(ConfigError, match=r"PAGES_DIR: contact\.md.*" + words):
        Texts.read(str(tmp_path))


@pytest.mark.parametrize("path", ["/", "/login", "/signup", "/terms", "/nowhere", "/dashboard", "/credits"])
def test_every_footer_leads_to_them(store, browser, path):
    make_account(store, credits=10)
    browser.sign_in()

    links = {link["href"] for link in soup(browser.get(path)).select("footer a")}

    assert {f"/{name}" for name in TITLES} <= links


def test_where_we_say_write_to_us_the_address_stands(made):
    app = made(support_email=SUPPORT)
    app.add_url_rule("/broken", view_func=_public(_break))
    app.add_url_rule("/forbidden", view_func=_public(_forbid))
    browser = Browser(app)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    for path in ("/contact", "/broken", "/forbidden", "/nowhere"):
        mailto = soup(browser.get(path)).select_one(f'main a[href="mailto:{SUPPORT}"]')
        assert mailto, path
        assert mailto.text == SUPPORT


def test_without_an_address_it_leads_to_the_page_that_says_who_runs_this(browser):
    found = soup(browser.get("/nowhere")).select_one("main")

    assert not found.select("[href^=mailto]")
    assert found.select_one("a[href='/contact']").text == "Write to us"


def _public(view):
    view.access = "public"
    return view


def _break() -> str:
    raise RuntimeError


def _forbid() -> str:
    raise Forbidden


@pytest.mark.parametrize("address", [None, SUPPORT])
def test_every_mail_ends_with_them(made, store, sender, address):
    app = made(support_email=address)
    make_account(store)
    with store.transaction() as tx:
        tx.mails.enqueue(Mail("m-1", "security", "ada@example.com", NOW, {"what": "Something."}))

    with app.app_context():
        deliver_due(store, deps.get().mail_room, sender, now=NOW)

    (mail,) = sender.sent
    for part in (mail["text"], mail["html"]):
        assert all(f"http://dashboard.test/{name}" in part for name in TITLES)
        assert (SUPPORT in part) is bool(address)


@pytest.mark.parametrize(("address", "asked"), [(None, {}), (SUPPORT, {"ReplyToAddresses": [SUPPORT]})])
def test_an_answer_to_a_mail_goes_to_support(config, address, asked):
    gateway, calls = SesGateway(replace(config, support_email=address)), []

    class Ses:
        def send_email(self, **call):
            calls.append(call)
            return {"MessageId": "1"}

    gateway._client = Ses()
    gateway.send(to="ada@example.com", subject="Hello", text="Hello", html="<p>Hello", headers={})

    assert {name: calls[0][name] for name in calls[0] if name == "ReplyToAddresses"} == asked


def test_security_txt_names_who_runs_this(made):
    text = Browser(made(support_email=SUPPORT)).get("/.well-known/security.txt").text

    assert f"Contact: mailto:{SUPPORT}\n" in text


@pytest.mark.parametrize("env", ["development", "production"])
def test_the_doctor_says_what_is_not_filled_in_in_production(config, store, stripe, folder, env):
    def doctor(**settings):
        app = create_app(replace(config, env=env, **settings), store=store, sender=FakeSender(), stripe=stripe)
        return app.test_cli_runner().invoke(args=["doctor", "--only", "people"]).output

    nothing, terms = doctor(), doctor(support_email=SUPPORT, pages_dir=str(folder))
    for name in TITLES:
        (folder / f"{name}.md").write_text("Words.", "utf-8")
    all_of_it = doctor(support_email=SUPPORT, pages_dir=str(folder))

    told = env == "production"
    assert ("SUPPORT_EMAIL is not set" in nothing) is told
    assert [f"no {name}.md" in nothing for name in TITLES] == [told] * 3
    assert [f"no {name}.md" in terms for name in TITLES] == [told, False, told]
    assert (f"right      support address: Customers write to {SUPPORT}." in all_of_it) is told
    assert "SUPPORT_EMAIL is not" not in all_of_it
