"""`flask accounts`: accounts at a terminal, and what is done to them by hand or by the clock."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import click

from app.cli.groups import Group, Pasted
from app.cli.scheduled import scheduled
from app.cli.tables import MOST, first_of, print_table, say_more
from app.cli.tasks import as_json, key_of_operator, limit, operator, told
from app.domain.accounts import Account, Address
from app.domain.clock import to_iso, utcnow
from app.domain.credits import PostedEntry
from app.domain.errors import DomainError, WrongState
from app.domain.formatting import count
from app.domain.paging import Page, each
from app.domain.proposals import Proposal
from app.domain.text import plain_address, trimmed
from app.services import accounts, customer_search, customers, second_factor
from app.web import deps
from app.web.shapes import CUSTOMER, TRANSACTION

group = Group("accounts", help="Accounts.")
AT_ONCE = 100


def named(words: str) -> Account:
    """The account of an e-mail address, or of an account's id. Raises NotFound."""
    words, store = trimmed(words), deps.store()
    return store.accounts.get_holder(Address(plain_address(words))) if "@" in words else store.accounts.get_by_id(words)


@group.command("list")
@click.argument("beginning", default="")
@click.option("--search", "words", default="", help="Any part of an address, or the id of something of a customer's.")
@limit
@as_json
def list_accounts(beginning: str, words: str, limit: int, as_json: bool) -> None:
    """Accounts, or those whose first address begins with BEGINNING, which walks the table. Says so when there are more.

    --search asks the search keys instead, as the page of customers does.
    """
    if beginning and words:
        raise click.UsageError("Give either BEGINNING or --search.")
    found, more = told(lambda: first_of(_searched(words) if words else _beginning(beginning), limit))
    if words and not found:
        raise click.ClickException(_searched_in_vain(words))
    if as_json:
        click.echo(json.dumps([CUSTOMER(account) for account in found], ensure_ascii=False))
    else:
        _print_accounts(found)
    if more:
        say_more("Accounts", limit, "--limit", as_json=as_json)


def _beginning(beginning: str) -> Iterator[Account]:
    store, address = deps.store(), plain_address(beginning)
    return each(lambda cursor: store.accounts.search(address, limit=1_000, cursor=cursor))


def _searched(words: str) -> Iterator[Account]:
    def read(cursor: str | None) -> Page[Account]:
        found = customer_search.search(deps.store(), words, limit=AT_ONCE, cursor=cursor)
        return Page(found.accounts, found.next_cursor)

    return each(read)


def _searched_in_vain(words: str) -> str:
    return f"Nothing was found. Searched: {customer_search.search(deps.store(), words, limit=1).searched}."


def _print_accounts(accounts: list[Account]) -> None:
    rows = [
        (
            a.address,
            f"{a.credits_balance:,}",
            a.open_tasks,
            f"{a.created_at:%Y-%m-%d}",
            "operator" if a.is_operator else "",
        )
        for a in accounts
    ]
    print_table(("e-mail", "credits", "open tasks", "since", ""), rows)


@group.command("show")
@click.argument("account", type=Pasted())
@click.option("--rows", "most", type=click.IntRange(1, MOST), default=10, show_default=True, help="Of the ledger.")
@as_json
def show(account: str, most: int, as_json: bool) -> None:
    """One account, named by its address or its id, and its latest ledger rows."""
    found = told(lambda: named(account))
    entries, more = told(lambda: first_of(deps.store().ledger.every_of(found.email, as_they_stand=True), most))
    if as_json:
        body = CUSTOMER(found) | {"transactions": [TRANSACTION(entry) for entry in entries]}
        click.echo(json.dumps(body, ensure_ascii=False))
    else:
        _print_account(found, entries)
    if more:
        say_more("The newest ledger rows", most, "--rows", as_json=as_json)


def _print_account(found: Account, entries: list[PostedEntry]) -> None:
    print_table(("", ""), [(name.replace("_", " "), value) for name, value in CUSTOMER(found).items()])
    click.echo()
    print_table(
        ("when", "type", "credits", "balance", "what"),
        [
            (
                to_iso(e.timestamp)[:19],
                e.type,
                f"{e.amount:+,}",
                "" if e.is_original else f"{e.balance_after:,}",
                e.description[:60],
            )
            for e in entries
        ],
    )


@group.command("adjust", context_settings={"ignore_unknown_options": True})  # or -100 would be an option
@click.argument("account", type=Pasted())
@click.argument("amount", type=int)
@click.option("--reason", required=True, help="The customer reads it in the ledger.")
@click.option("--idempotency-key", "--request-id", default=None, help="Repeating it books nothing twice.")
@operator
@as_json
def adjust(account: str, amount: int, reason: str, idempotency_key: str | None, operator: str, as_json: bool) -> None:
    """Add AMOUNT credits, or with a minus take them away; never below zero. Large ones wait for a second operator."""
    done = told(
        lambda: (
            customers.adjust(
                deps.store(),
                operator,
                named(account).email,
                amount,
                reason,
                idempotency_key=idempotency_key or secrets.token_urlsafe(16),
                limit=deps.config().adjust_limit,
                now=utcnow(),
                on_command_line=True,
            ).done
        )
    )
    if isinstance(done, Proposal):
        words, body = (
            "Proposed; an operator must approve it.",
            {"adjustment_id": done.adjustment_id, "state": done.state},
        )
    else:
        words, body = f"{done.amount:+,} credits; the balance is {done.balance_after:,}.", TRANSACTION(done)
    click.echo(json.dumps(body, ensure_ascii=False) if as_json else words)


@group.command("erase")
@scheduled
def erase() -> None:
    """Erase the words and files that deleted accounts have left. Run it daily; safe to repeat."""
    found, left = deps.get(), []
    for email, deleted_at in sorted(found.store.accounts.every_to_erase(), key=lambda due: due[1]):
        try:
            seen = accounts.finish_erasure(found.store, found.files, email, deleted_at=deleted_at)
            click.echo(f"An account with {seen} tasks is erased.")
        except DomainError as error:  # one that cannot be erased keeps no other waiting
            left.append((deleted_at, error.message))
    if left:
        since, why = left[0]
        raise click.ClickException(
            f"{why} {count(len(left), 'account')} of those deleted since {since:%Y-%m-%d} wait to be erased. "
            "What was erased until now stands; run it again."
        )


@group.command("reset-second-factor")
@click.argument("email", type=Pasted())
@click.option("--as", "--by", "actor", required=True, callback=key_of_operator, help="Who does it, for the audit log.")
def reset_second_factor(email: str, actor: str) -> None:
    """Remove every second factor of an account whose owner has lost them all. Check who is asking first."""
    try:
        account = deps.store().accounts.get_holder(address := Address(plain_address(email)))
        if account.address != address:  # whose mailbox that is by now, nobody knows: it is no proof of anything
            now_at = f"{address} was left by the account that is at {account.address} now."
            raise WrongState(f"{now_at} Nothing was changed.")
        second_factor.remove_all(deps.store(), account, actor=actor, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{account.address} signs in with the password alone now.")
