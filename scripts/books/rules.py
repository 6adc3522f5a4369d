"""The rules of the books as SQL, over the export of the tables: the same that `app/services/book_rules.py` has in Python.

Written once, in the words of Trino (which Athena speaks); DuckDB knows nearly all of them, and a `Dialect` has the
others. `statements` are to be run in their order; each makes a table, and what they come to is asked for by `FINDINGS`,
`liability`, `ROLL_FORWARD` and `UNSPENT`. An export is one moment of a table, so nothing is looked at twice: exports of all
tables from one moment say the same of it. docs/decisions/0033.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime

from app.domain.accounts import NOT_ADOPTED
from app.domain.by_hand import COMMAND_LINE
from app.domain.clock import to_iso
from app.domain.ledger_figures import SHARDS, LedgerFigures
from app.domain.reversals import DISPUTE_HOLDS, REFUND_UNDONE
from app.domain.tasks import CANCELLED, REJECTED, STATUSES

FIGURE_NAMES = tuple(field.name for field in fields(LedgerFigures))
CROSSING_MINUTES = 6
MOST_NAMED = 5
MOST_CURRENCIES = 3  # of one payment, which the exact shares of it have room for: 38 digits
ROUNDS = 8  # of refunds and disputes of one account that are looked at, one after another, for what is unspent
FIGURES_MIGRATION = "migration#4"

WHOLE = r"^\s*[+-]?[0-9]+(\.0*)?\s*$"
SCIENTIFIC = r"^\s*[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+\s*$"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the two engines say otherwise. `shards` and `persons` are made by SQL where the engine can: else the host
    fills them beforehand (`needs_host`).
    """

    name: str
    table_of: str  # how a table is made
    regexp_like: str
    joined: str  # an array of texts as one, with commas
    sequence: str
    unnest_field: str  # a field of what an array of rows was unnested to
    quotient: str
    needs_host: bool

    def make(self, name: str, select: str) -> str:
        return self.table_of.format(name=name) + select


DUCKDB = Dialect(
    "duckdb",
    "CREATE OR REPLACE TABLE {name} AS ",
    "regexp_matches({0}, '{1}')",
    "array_to_string({0}, ', ')",
    "generate_series({0}, {1})",
    "one.{0}",
    "CAST((({0}) - mod({0}, {1})) // ({1}) AS HUGEINT)",
    True,
)
ATHENA = Dialect(
    "athena",
    "CREATE TABLE {name} WITH (format = 'PARQUET') AS ",
    "regexp_like({0}, '{1}')",
    "array_join({0}, ', ')",
    "sequence({0}, {1})",
    "{0}",
    "((({0}) - mod({0}, {1})) / ({1}))",
    False,
)


def statements(to: Dialect) -> Iterator[tuple[str, str]]:
    """Each table by its name, and what makes it."""
    yield from _read(to)
    yield from _accounts(to)
    yield from _others(to)
    yield from _payments(to)
    yield from _figures(to)
    yield from _by_hand(to)
    yield "findings", to.make("findings", _all_findings())


FINDINGS = "SELECT DISTINCT subject, what, expected, found, email FROM findings ORDER BY subject, what, found"


def whole(to: Dialect, column: str, *, texts: bool = True) -> str:
    """A whole number however the original product may have stored it, or NULL: it is never guessed (codec.whole)."""
    text = f"coalesce({column}.n, {column}.s)" if texts else f"{column}.n"
    whole_number = to.regexp_like.format(text, WHOLE)
    scientific = to.regexp_like.format(text, SCIENTIFIC)
    as_double = f"TRY_CAST(trim({text}) AS DOUBLE)"
    plain = rf"regexp_replace(regexp_replace(trim({text}), '\.0*$', ''), '^\+', '')"
    return (
        f"CASE WHEN {whole_number} THEN TRY_CAST({plain} AS BIGINT)"
        f" WHEN {scientific} AND abs({as_double}) < 1e15 AND {as_double} = floor({as_double})"
        f" THEN TRY_CAST({as_double} AS BIGINT) END"
    )


def stored(column: str) -> str:
    """What stands there, in the words of Python."""
    return (
        f"coalesce({column}.n, {column}.s,"
        f" CASE WHEN {column}.bool THEN 'True' WHEN NOT {column}.bool THEN 'False' END, 'None')"
    )


def number(column: str) -> str:
    return f"coalesce(TRY_CAST({column}.n AS BIGINT), 0)"


def odd_numbers(to: Dialect, *names: str) -> str:
    """Those attributes that count something and hold no whole number of 64 bits (book_rules.odd_numbers), or NULL."""
    each = (
        f"CASE WHEN item.{name} IS NOT NULL AND ({whole(to, f'item.{name}', texts=False)}) IS NULL"
        f" THEN '{name} ' || {stored(f'item.{name}')} END"
        for name in names
    )
    return f"nullif(concat_ws(', ', {', '.join(each)}), '')"


def listed(to: Dialect, column: str) -> str:
    """Numbers of a group in their order, as Python shows a list."""
    return f"'[' || {to.joined.format(f'array_agg(CAST({column} AS VARCHAR) ORDER BY {column})')} || ']'"


def _read(to: Dialect) -> Iterator[tuple[str, str]]:
    balance, sequence = whole(to, "item.credits_balance"), whole(to, "item.ledger_sequence", texts=False)
    odd = odd_numbers(to, "ledger_sequence")
    unread = "'its balance cannot be read: ' || " + stored("item.credits_balance")
    yield (
        "accounts",
        to.make(
            "accounts",
            f"""SELECT item.email.s AS email, coalesce({balance}, 0) AS balance,
                CASE WHEN {odd} IS NULL THEN coalesce({sequence}, 0) ELSE {2**63 - 1} END AS ends, {odd} AS odd,
                {number("item.folded_sequence")} AS folded, item.role.s AS role,
                CASE WHEN {balance} IS NULL THEN {unread}
                     WHEN item.ledger_sequence IS NOT NULL AND item.credits_balance.n IS NULL THEN {unread}
                     WHEN item.ledger_sequence IS NULL THEN '{NOT_ADOPTED}' END AS unexplained
            FROM users_export WHERE item.alias_of IS NULL""",
        ),
    )
    amount, after = whole(to, "item.amount"), whole(to, "item.balance_after", texts=False)
    bought = f"coalesce({amount}, 0) > 0 AND substr(item.stripe_payment_intent.s, 1, 3) = 'pi_'"
    place = f"CASE WHEN item.sequence IS NULL THEN 0 ELSE {whole(to, 'item.sequence', texts=False)} END"
    yield (
        "ledger",
        to.make(
            "ledger",
            f"""SELECT r.transaction_id, r.email, r.type, r.amount, r.unreadable, r.happened_at, r.listed_at, r.place,
                r.misplaced, r.balance_after, r.stored_after, r.task_id, r.payment_id, r.disputed,
                a.email IS NOT NULL AS has_account, a.unexplained IS NOT NULL AS is_unexplained, a.ends, a.folded,
                NOT (coalesce(r.place, 1) = 0 AND (a.email IS NULL OR a.unexplained IS NOT NULL)) AS counts
            FROM (SELECT item.transaction_id.s AS transaction_id, item.user_email.s AS email, item.type.s AS type,
                coalesce({amount}, 0) AS amount,
                CASE WHEN {amount} IS NULL THEN {stored("item.amount")} END AS unreadable,
                coalesce(item.happened_at.s, item."timestamp".s) AS happened_at, item."timestamp".s AS listed_at,
                {place} AS place, CASE WHEN {place} IS NULL THEN {stored("item.sequence")} END AS misplaced,
                CASE WHEN item.balance_after IS NULL THEN 0 ELSE {after} END AS balance_after,
                CASE WHEN item.balance_after IS NULL THEN '0' WHEN {after} IS NOT NULL THEN CAST({after} AS VARCHAR)
                     ELSE {stored("item.balance_after")} END AS stored_after,
                item.task_id.s AS task_id,
                CASE WHEN {place} = 0 AND item.type.s = 'purchase' AND {bought} THEN item.stripe_payment_intent.s
                     ELSE item.payment_id.s END AS payment_id,
                CASE WHEN coalesce(item.cause.s, '') <> '' THEN item.cause.s = 'disputed'
                     ELSE coalesce(item.description.s, '') LIKE '%was disputed' END AS disputed
                FROM transactions_export) r
            LEFT JOIN accounts a ON a.email = r.email""",
        ),
    )


def _accounts(to: Dialect) -> Iterator[tuple[str, str]]:
    """An account's balance follows from its rows, and each row from the one before."""
    yield (
        "account_sums",
        to.make(
            "account_sums",
            """SELECT a.email, a.balance, a.ends, coalesce(sum(l.amount), 0) AS total,
                coalesce(sum(CASE WHEN l.place = 0 THEN l.amount END), 0) AS brought,
                count(DISTINCT CASE WHEN l.place >= 1 THEN l.place END) AS places,
                count(CASE WHEN l.place <> 0 THEN 1 END) AS many, count(DISTINCT CASE WHEN l.place <> 0 THEN l.place END) AS different,
                max(CASE WHEN l.place <> 0 THEN l.place END) AS last
            FROM accounts a LEFT JOIN ledger l ON l.email = a.email AND l.place <= a.ends
            WHERE a.unexplained IS NULL AND a.odd IS NULL GROUP BY a.email, a.balance, a.ends""",
        ),
    )
    yield (
        "last_rows",
        to.make(
            "last_rows",
            """SELECT email, stored_after FROM (
                SELECT l.email, l.stored_after,
                    row_number() OVER (PARTITION BY l.email ORDER BY l.listed_at DESC, l.transaction_id DESC) AS nth
                FROM ledger l JOIN account_sums s ON s.email = l.email AND s.last = l.place) n WHERE nth = 1""",
        ),
    )
    yield (
        "gaps",
        to.make(
            "gaps",
            """SELECT email, ends, after_place + 1 AS first_lacking, place - 1 AS last_lacking FROM (
                SELECT p.email, p.ends, p.place,
                    coalesce(lag(p.place) OVER (PARTITION BY p.email ORDER BY p.place), 0) AS after_place
                FROM (SELECT DISTINCT l.email, s.ends, l.place FROM ledger l
                      JOIN account_sums s ON s.email = l.email AND s.places < s.ends
                      WHERE l.place BETWEEN 1 AND s.ends
                      UNION SELECT email, ends, ends + 1 FROM account_sums WHERE places < ends) p) q
            WHERE place > after_place + 1""",
        ),
    )
    lacking = to.sequence.format("g.first_lacking", f"least(g.last_lacking, g.first_lacking + {MOST_NAMED - 1})")
    again = to.sequence.format("1", "r.times - 1")
    running = """SELECT l.email, l.place, l.stored_after, l.balance_after,
        s.brought + sum(l.amount) OVER (PARTITION BY l.email ORDER BY l.place ROWS UNBOUNDED PRECEDING) AS running
        FROM ledger l JOIN account_sums s ON s.email = l.email
        WHERE l.place <> 0 AND l.place <= s.ends AND s.places = s.ends AND s.many = s.different"""
    yield (
        "account_findings",
        to.make(
            "account_findings",
            f"""SELECT email AS subject, 'balance and sum of the ledger' AS what, CAST(total AS VARCHAR) AS expected,
                CAST(balance AS VARCHAR) AS found, email FROM account_sums WHERE balance <> total
            UNION ALL SELECT s.email, 'balance and last balance_after', r.stored_after, CAST(s.balance AS VARCHAR), s.email
                FROM account_sums s JOIN last_rows r ON r.email = s.email WHERE r.stored_after <> CAST(s.balance AS VARCHAR)
            UNION ALL SELECT email, 'sequence numbers', '1 to ' || CAST(ends AS VARCHAR), 'without ' || {listed(to, "lacking")}, email
                FROM (SELECT g.email, g.ends, t.lacking,
                        row_number() OVER (PARTITION BY g.email ORDER BY t.lacking) AS nth
                      FROM gaps g CROSS JOIN UNNEST({lacking}) AS t(lacking)) f
                WHERE nth <= {MOST_NAMED} GROUP BY email, ends
            UNION ALL SELECT email, 'sequence numbers', 'each once', 'again ' || {listed(to, "place")}, email
                FROM (SELECT r.email, r.place, row_number() OVER (PARTITION BY r.email ORDER BY r.place) AS nth
                      FROM (SELECT l.email, l.place, count(*) AS times FROM ledger l
                            JOIN account_sums s ON s.email = l.email AND s.many > s.different
                            WHERE l.place <> 0 AND l.place <= s.ends GROUP BY l.email, l.place HAVING count(*) > 1) r
                      CROSS JOIN UNNEST({again}) AS t(time)) f
                WHERE nth <= {MOST_NAMED} GROUP BY email
            UNION ALL SELECT email, 'running balance at ' || CAST(place AS VARCHAR), CAST(running AS VARCHAR), stored_after, email
                FROM (SELECT email, place, running, stored_after,
                        row_number() OVER (PARTITION BY email ORDER BY place) AS nth
                      FROM ({running}) w WHERE balance_after IS NULL OR balance_after <> running) f WHERE nth = 1
            UNION ALL SELECT email, 'opening row', 'a balance that the ledger explains', unexplained, CAST(NULL AS VARCHAR)
                FROM accounts WHERE unexplained IS NOT NULL
            UNION ALL SELECT email, 'numbers of the account', 'whole numbers', odd, email
                FROM accounts WHERE unexplained IS NULL AND odd IS NOT NULL
            UNION ALL SELECT email, 'ledger row ' || CAST(min(place) AS VARCHAR), 'counted in the balance',
                'the account ends at ' || CAST(ends AS VARCHAR), email
                FROM ledger WHERE has_account AND place > ends GROUP BY email, ends
            UNION ALL SELECT email, 'account of the ledger rows', 'an account', 'none', CAST(NULL AS VARCHAR)
                FROM ledger WHERE NOT has_account GROUP BY email
            UNION ALL SELECT transaction_id, 'amount', 'whole credits', unreadable, email
                FROM ledger WHERE unreadable IS NOT NULL AND counts
            UNION ALL SELECT transaction_id, 'place in the ledger', 'a whole number', misplaced, email
                FROM ledger WHERE misplaced IS NOT NULL""",
        ),
    )


def _others(to: Dialect) -> Iterator[tuple[str, str]]:
    """Tasks and codes, each with its rows."""
    cost, statuses = whole(to, "item.credits_spent"), ", ".join(f"'{status}'" for status in STATUSES)
    given_up = f"status IN ('{CANCELLED}', '{REJECTED}')"
    yield (
        "tasks",
        to.make(
            "tasks",
            f"""SELECT task_id, email, unexplained,
                CASE WHEN credits <> 0 AND NOT original THEN -credits END AS cost,
                CASE WHEN credits <> 0 AND {given_up} AND NOT (original AND version = 0) THEN credits END AS back
            FROM (SELECT item.task_id.s AS task_id, item.user_email.s AS email, item.status.s AS status,
                coalesce({cost}, 0) AS credits, coalesce(item.original.bool, item.version IS NULL) AS original,
                {number("item.version")} AS version,
                CASE WHEN {cost} IS NULL THEN 'its cost cannot be read: ' || {stored("item.credits_spent")}
                     WHEN item.status.s NOT IN ({statuses}) THEN 'its status is not one of ours: ' || item.status.s
                     WHEN item.version IS NULL THEN '{NOT_ADOPTED}' END AS unexplained
                FROM tasks_export) t""",
        ),
    )
    yield (
        "moved",
        to.make(
            "moved",
            """SELECT coalesce(nullif(task_id, ''), transaction_id) AS task_id, type, amount, email FROM ledger
            WHERE type IN ('spend', 'refund') AND (place IS NULL OR place <> 0)""",
        ),
    )
    yield (
        "moved_sums",
        to.make(
            "moved_sums",
            """SELECT task_id, count(CASE WHEN type = 'spend' THEN 1 END) AS spends,
                coalesce(sum(CASE WHEN type = 'spend' THEN amount END), 0) AS spent,
                count(CASE WHEN type = 'refund' THEN 1 END) AS refunds,
                coalesce(sum(CASE WHEN type = 'refund' THEN amount END), 0) AS refunded
            FROM moved GROUP BY task_id""",
        ),
    )
    yield (
        "task_faults",
        to.make(
            "task_faults",
            """SELECT t.task_id, t.email, t.cost, t.back,
                coalesce(m.spends, 0) <> (CASE WHEN t.cost IS NULL THEN 0 ELSE 1 END)
                    OR coalesce(m.spent, 0) <> coalesce(t.cost, 0) AS spend_differs,
                coalesce(m.refunds, 0) <> (CASE WHEN t.back IS NULL THEN 0 ELSE 1 END)
                    OR coalesce(m.refunded, 0) <> coalesce(t.back, 0) AS refund_differs
            FROM tasks t LEFT JOIN moved_sums m ON m.task_id = t.task_id
            WHERE t.unexplained IS NULL AND (
                coalesce(m.spends, 0) <> (CASE WHEN t.cost IS NULL THEN 0 ELSE 1 END)
                OR coalesce(m.spent, 0) <> coalesce(t.cost, 0)
                OR coalesce(m.refunds, 0) <> (CASE WHEN t.back IS NULL THEN 0 ELSE 1 END)
                OR coalesce(m.refunded, 0) <> coalesce(t.back, 0))""",
        ),
    )
    rows = f"""SELECT m.task_id, m.type, {listed(to, "m.amount")} AS amounts FROM moved m
        JOIN task_faults f ON f.task_id = m.task_id GROUP BY m.task_id, m.type"""

    def of_task(what: str, kind: str, expected: str, flag: str) -> str:
        return f"""SELECT f.task_id AS subject, '{what}' AS what,
            coalesce('[' || CAST(f.{expected} AS VARCHAR) || ']', '[]') AS expected, coalesce(r.amounts, '[]') AS found, f.email
            FROM task_faults f LEFT JOIN ({rows}) r ON r.task_id = f.task_id AND r.type = '{kind}' WHERE f.{flag}"""

    yield (
        "task_findings",
        to.make(
            "task_findings",
            f"""{of_task("spend of the task", "spend", "cost", "spend_differs")}
            UNION ALL {of_task("refund of the task", "refund", "back", "refund_differs")}
            UNION ALL SELECT task_id, 'task of the original product', 'a place in the queue', unexplained, CAST(NULL AS VARCHAR)
                FROM tasks WHERE unexplained IS NOT NULL
            UNION ALL SELECT task_id, 'task of the ledger row', 'a task', 'none', email
                FROM (SELECT m.task_id, m.email,
                        row_number() OVER (PARTITION BY m.task_id ORDER BY m.amount DESC, m.email DESC) AS nth
                      FROM moved m LEFT JOIN tasks t ON t.task_id = m.task_id WHERE t.task_id IS NULL) o WHERE nth = 1""",
        ),
    )
    yield (
        "code_findings",
        to.make(
            "code_findings",
            f"""SELECT coalesce(c.code, r.code) AS subject,
                CASE WHEN c.code IS NULL THEN 'code of the ledger rows' ELSE 'uses of the code' END AS what,
                CASE WHEN c.code IS NULL THEN 'a code' ELSE CAST(c.uses AS VARCHAR) END AS expected,
                CASE WHEN c.code IS NULL THEN 'none' ELSE CAST(coalesce(r.many, 0) AS VARCHAR) || ' ledger rows' END AS found,
                CAST(NULL AS VARCHAR) AS email
            FROM (SELECT item.code.s AS code, {number("item.uses")} AS uses FROM redeemcodes_export) c
            FULL OUTER JOIN (
                SELECT split_part(transaction_id, '#', 2) AS code, count(*) AS many FROM ledger
                WHERE type = 'promo' AND counts AND length(transaction_id) - length(replace(transaction_id, '#', '')) = 2
                GROUP BY split_part(transaction_id, '#', 2)) r ON r.code = c.code
            WHERE c.code IS NULL OR coalesce(r.many, 0) <> c.uses""",
        ),
    )


def _payments(to: Dialect) -> Iterator[tuple[str, str]]:
    """A payment and its rows, and what its facts ask for: `payments.target`, in whole numbers.

    Each refund and dispute is a share of what was charged in its currency. The shares of a payment are brought to one
    denominator, the product of all that was charged, so that nothing is rounded.
    """
    big, odd = "DECIMAL(38, 0)", odd_numbers(to, "granted", "applied", "total_cents")
    yield (
        "payments",
        to.make(
            "payments",
            f"""SELECT item.payment_id.s AS payment_id, item.user_email.s AS email, {odd} AS odd,
                CASE WHEN {odd} IS NULL THEN {number("item.granted")} ELSE 0 END AS granted,
                {number("item.applied")} AS applied, {number("item.total_cents")} AS total_cents,
                coalesce(item.currency.s, '') AS currency, item.resolution.s AS resolution,
                {number("item.charge_refunded_cents")} AS charge_cents,
                coalesce(nullif(item.charge_refunded_currency.s, ''), item.currency.s, '') AS charge_currency,
                {number("item.charge_refunded_told")} AS charge_told
            FROM payments_export""",
        ),
    )
    yield (
        "charged",
        to.make(
            "charged",
            """SELECT item.payment_id.s AS payment_id, t.currency, TRY_CAST(item.charged.m[t.currency].n AS BIGINT) AS cents
            FROM payments_export CROSS JOIN UNNEST(map_keys(item.charged.m)) AS t(currency)""",
        ),
    )

    def told(kind: str) -> str:
        field = to.unnest_field.format
        columns = "t(one)" if to.name == "duckdb" else "t(m)"
        amount = field("m")
        return f"""SELECT item.payment_id.s AS payment_id, '{kind}' AS kind, {number(f"{amount}.cents")} AS cents,
            coalesce({amount}.status.s, '') AS status, coalesce({amount}.currency.s, '') AS currency,
            {number(f"{amount}.told")} AS told, {number(f"{amount}.made")} AS made, {number(f"{amount}.undone")} AS undone
            FROM payments_export CROSS JOIN UNNEST(map_values(item.{kind}s.m)) AS {columns}"""

    yield (
        "words",
        to.make(
            "words",
            f"""SELECT w.payment_id, w.kind, w.cents, w.status, w.told, w.made, w.undone,
                coalesce(nullif(w.currency, ''), p.currency) AS currency,
                CASE WHEN w.cents = 0 THEN 1
                     WHEN coalesce(nullif(w.currency, ''), p.currency) = p.currency AND p.total_cents > 0 THEN p.total_cents
                     WHEN coalesce(c.cents, 0) <> 0 THEN c.cents END AS of_cents
            FROM ({told("refund")} UNION ALL {told("dispute")}
                  UNION ALL SELECT payment_id, 'charge', charge_cents, '', charge_currency, charge_told, 0, 0 FROM payments) w
            JOIN payments p ON p.payment_id = w.payment_id
            LEFT JOIN charged c ON c.payment_id = w.payment_id AND c.currency = coalesce(nullif(w.currency, ''), p.currency)""",
        ),
    )
    undone = ", ".join(f"'{status}'" for status in sorted(REFUND_UNDONE))
    holds = ", ".join(f"'{status}'" for status in sorted(DISPUTE_HOLDS))
    yield (
        "units",
        to.make(
            "units",
            f"""SELECT payment_id, count(DISTINCT of_cents) AS many,
                CAST(CASE count(DISTINCT of_cents) WHEN 1 THEN CAST(max(of_cents) AS {big})
                    WHEN 2 THEN CAST(max(of_cents) AS {big}) * CAST(min(of_cents) AS {big})
                    WHEN 3 THEN CAST(max(of_cents) AS {big}) * CAST(min(of_cents) AS {big})
                        * CAST(sum(DISTINCT of_cents) - max(of_cents) - min(of_cents) AS {big}) END AS {big}) AS unit
            FROM (SELECT payment_id, of_cents FROM words WHERE of_cents IS NOT NULL
                  UNION SELECT payment_id, 1 FROM payments
                  UNION SELECT payment_id, cents FROM words WHERE kind = 'charge' AND of_cents IS NULL) d
            GROUP BY payment_id""",
        ),
    )
    share = to.quotient.format(f"CAST(w.cents AS {big}) * u.unit", f"CAST(w.of_cents AS {big})")
    alike = to.quotient.format(f"CAST(w.cents AS {big}) * u.unit", f"CAST(c.cents AS {big})")
    yield (
        "shares",
        to.make(
            "shares",
            f"""SELECT w.payment_id, w.kind, w.told, u.unit, c.told AS sum_told, c.share AS charge_share,
                w.status IN ({undone}) AS is_undone, w.status IN ({holds}) AS holds, w.undone,
                c.told = 0 OR w.made <= c.told AS held_by_the_sum,
                CASE WHEN w.of_cents IS NOT NULL THEN {share}
                     WHEN w.kind = 'dispute' THEN u.unit
                     WHEN w.status IN ({undone}) THEN
                        CASE WHEN c.share IS NULL AND w.currency = c.currency THEN {alike} ELSE u.unit END
                     WHEN c.told <> 0 AND w.made > 0 AND w.made <= c.told THEN 0 ELSE u.unit END AS share
            FROM words w JOIN units u ON u.payment_id = w.payment_id
            JOIN (SELECT w.payment_id, w.told, w.currency, w.cents,
                    CASE WHEN w.of_cents IS NOT NULL THEN {share} END AS share
                  FROM words w JOIN units u ON u.payment_id = w.payment_id WHERE w.kind = 'charge') c
                ON c.payment_id = w.payment_id
            WHERE w.kind <> 'charge'""",
        ),
    )

    def part(condition: str) -> str:
        return f"coalesce(sum(CASE WHEN {condition} THEN share END), 0)"

    refund, stood = "kind = 'refund' AND", "kind = 'refund' AND NOT is_undone AND"
    charge_share = to.quotient.format(f"CAST(w.cents AS {big}) * u.unit", f"CAST(w.of_cents AS {big})")
    yield (
        "targets",
        to.make(
            "targets",
            f"""SELECT payment_id, unit, granted - {
                to.quotient.format(
                    f"CAST(granted AS {big}) * least(unit, held + outside + greatest(total - later - tied, standing + least(stale, greatest(0, total - later - standing))))",
                    "unit",
                )
            } AS target
            FROM (SELECT payment_id, unit, granted, held, outside, standing, stale,
                    coalesce(charge_share, unit) AS total,
                    CASE WHEN charge_share IS NOT NULL THEN later WHEN later >= unit THEN unit ELSE 0 END AS later,
                    CASE WHEN charge_share IS NOT NULL THEN tied
                         WHEN later < unit AND unit <= later + tied THEN unit ELSE 0 END AS tied
                FROM (SELECT p.payment_id, u.unit, p.granted, c.share AS charge_share,
                        coalesce(s.held, 0) AS held, coalesce(s.outside, 0) AS outside, coalesce(s.standing, 0) AS standing,
                        coalesce(s.stale, 0) AS stale, coalesce(s.later, 0) AS later, coalesce(s.tied, 0) AS tied
                    FROM payments p JOIN units u ON u.payment_id = p.payment_id
                    JOIN (SELECT w.payment_id, CASE WHEN w.of_cents IS NOT NULL THEN {charge_share} END AS share
                          FROM words w JOIN units u ON u.payment_id = w.payment_id WHERE w.kind = 'charge') c
                        ON c.payment_id = p.payment_id
                    LEFT JOIN (SELECT payment_id, {part("kind = 'dispute' AND holds")} AS held,
                            {part(f"{stood} NOT held_by_the_sum")} AS outside,
                            {part(f"{stood} held_by_the_sum AND told >= sum_told")} AS standing,
                            {part(f"{stood} held_by_the_sum AND told < sum_told")} AS stale,
                            {part(f"{refund} is_undone AND held_by_the_sum AND undone > sum_told")} AS later,
                            {part(f"{refund} is_undone AND held_by_the_sum AND undone = sum_told")} AS tied
                        FROM shares GROUP BY payment_id) s ON s.payment_id = p.payment_id) q) z""",
        ),
    )
    yield (
        "payment_findings",
        to.make(
            "payment_findings",
            f"""SELECT p.payment_id AS subject, 'credits of the payment' AS what, CAST(p.applied AS VARCHAR) AS expected,
                CAST(coalesce(r.stands, 0) AS VARCHAR) AS found, CASE WHEN a.unexplained IS NULL THEN p.email END AS email
            FROM payments p LEFT JOIN accounts a ON a.email = p.email
            LEFT JOIN (SELECT payment_id, sum(amount) AS stands FROM ledger WHERE counts GROUP BY payment_id) r
                ON r.payment_id = p.payment_id
            WHERE p.odd IS NULL AND coalesce(r.stands, 0) <> p.applied
            UNION ALL SELECT p.payment_id, 'numbers of the payment', 'whole numbers', p.odd,
                CASE WHEN a.unexplained IS NULL THEN p.email END
            FROM payments p LEFT JOIN accounts a ON a.email = p.email WHERE p.odd IS NOT NULL
            UNION ALL SELECT p.payment_id, 'what the facts ask for',
                coalesce(CAST(CAST(t.target AS BIGINT) AS VARCHAR), 'more than {MOST_CURRENCIES} currencies: see books check'),
                CAST(p.applied AS VARCHAR), CASE WHEN a.unexplained IS NULL THEN p.email END
            FROM payments p LEFT JOIN accounts a ON a.email = p.email LEFT JOIN targets t ON t.payment_id = p.payment_id
            WHERE p.odd IS NULL AND p.granted <> 0 AND (t.target IS NULL OR t.target <> p.applied)
            UNION ALL SELECT r.payment_id, 'payment of the ledger rows', 'a payment', 'none', CAST(NULL AS VARCHAR)
            FROM (SELECT DISTINCT payment_id FROM ledger WHERE counts AND coalesce(payment_id, '') <> '') r
            LEFT JOIN payments p ON p.payment_id = r.payment_id WHERE p.payment_id IS NULL""",
        ),
    )


def _figures(to: Dialect) -> Iterator[tuple[str, str]]:
    """Finance's figures are what the rows that they hold add up to: `domain/ledger_figures.py`."""
    if not to.needs_host:
        yield (
            "shards",
            to.make(
                "shards",
                f"""SELECT email, mod(crc32(to_utf8(email)), {SHARDS}) AS shard
                FROM (SELECT email FROM accounts UNION SELECT email FROM ledger) e""",
            ),
        )
    kind = """CASE WHEN opens THEN (CASE WHEN amount >= 0 THEN 'brought' ELSE 'brought_debt' END)
        WHEN type = 'clawback' AND amount <= 0 THEN (CASE WHEN disputed THEN 'disputed' ELSE 'refunded' END)
        WHEN type = 'reinstatement' AND amount > 0 THEN (CASE WHEN disputed THEN 'disputes_undone' ELSE 'refunds_undone' END)
        WHEN type = 'purchase' AND amount > 0 THEN 'sold' WHEN type = 'spend' AND amount <= 0 THEN 'spent'
        WHEN type = 'refund' AND amount > 0 THEN 'given_back' WHEN type = 'promo' AND amount > 0 THEN 'promotional'
        WHEN amount > 0 THEN 'added' ELSE 'taken' END"""
    moved = f"""SELECT email, substr(happened_at, 1, 7) AS month, {kind} AS kind, abs(amount) AS credits,
        greatest(0, -balance_after) - greatest(0, -balance_before) AS debt
        FROM (SELECT email, happened_at, type, balance_after, disputed, transaction_id = 'opening#' || email AS opens,
                CASE WHEN transaction_id = 'opening#' || email THEN balance_after ELSE amount END AS amount,
                CASE WHEN transaction_id = 'opening#' || email THEN 0 ELSE balance_after - amount END AS balance_before
              FROM ledger WHERE counts AND unreadable IS NULL AND balance_after IS NOT NULL
                AND place <> 0 AND (NOT has_account OR folded = ends OR place <= folded)) r"""
    special = {
        "rows": "count(*)",
        "debt_rose": "coalesce(sum(CASE WHEN debt > 0 THEN debt END), 0)",
        "debt_fell": "coalesce(-sum(CASE WHEN debt < 0 THEN debt END), 0)",
    }
    sums = [
        f'{special.get(name) or f"coalesce(sum(CASE WHEN kind = {chr(39)}{name}{chr(39)} THEN credits END), 0)"} AS "{name}"'
        for name in FIGURE_NAMES
    ]
    added = ", ".join(f'sum(m."{name}") AS "{name}"' for name in FIGURE_NAMES)
    yield (
        "counted",
        to.make(
            "counted",
            f"""SELECT m.month || '#' || lpad(CAST(s.shard AS VARCHAR), 2, '0') AS place, {added}
            FROM (SELECT email, month, {", ".join(sums)} FROM ({moved}) r GROUP BY email, month) m
            JOIN shards s ON s.email = m.email GROUP BY m.month, s.shard""",
        ),
    )
    names = ", ".join(f'{number(f"""item."{name}" """.strip())} AS "{name}"' for name in FIGURE_NAMES)
    yield "figures", to.make("figures", f"SELECT item.place.s AS place, {names} FROM figures_export")
    each = " UNION ALL ".join(
        f"""SELECT coalesce(c.place, f.place) AS place, '{name}' AS name, coalesce(c."{name}", 0) AS said,
        coalesce(f."{name}", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."{name}", 0) <> coalesce(f."{name}", 0)"""
        for name in FIGURE_NAMES
    )
    migrated = (
        f"SELECT 1 FROM status_export WHERE item.name.s = '{FIGURES_MIGRATION}' AND item.finished_at.s IS NOT NULL"
    )
    yield (
        "figure_findings",
        to.make(
            "figure_findings",
            f"""SELECT substr(place, 1, 7) || ', shard ' || substr(place, 9) AS subject,
                'figures of finance: ' || name AS what, CAST(said AS VARCHAR) AS expected, CAST(stands AS VARCHAR) AS found,
                CAST(NULL AS VARCHAR) AS email
            FROM ({each}) e WHERE NOT EXISTS (SELECT 1 FROM account_findings)
            UNION ALL SELECT email, 'figures of finance: rows', CAST(ends AS VARCHAR), CAST(folded AS VARCHAR), CAST(NULL AS VARCHAR)
            FROM accounts WHERE folded <> ends AND unexplained IS NULL AND odd IS NULL AND EXISTS ({migrated})
                AND NOT EXISTS (SELECT 1 FROM account_findings)""",
        ),
    )


def _by_hand(to: Dialect) -> Iterator[tuple[str, str]]:
    """Value made by hand has its operators in the audit log: `book_rules.by_hand_differences`."""
    yield (
        "acts",
        to.make(
            "acts",
            f"""SELECT item.audit_id.s AS audit_id, item."at".s AS acted_at, item.actor.s AS actor, item.action.s AS action,
                item.subject.s AS subject, item.after.m.correction.s AS adjustment, item.after.m.day.s AS day,
                TRY_CAST(item.after.m.amount.n AS BIGINT) AS amount, {number('item.after.m."limit"')} AS most,
                item.after.m.proposed_by.s AS proposed_by, item.after.m.counted AS counted
            FROM audit_export""",
        ),
    )
    if not to.needs_host:
        name = "lower(trim(normalize(name, NFKC)))"
        local, domain = (
            f"regexp_replace({name}, '@[^@]*$', '')",
            f"regexp_replace(regexp_extract({name}, '@([^@]*)$', 1), '\\.+$', '')",
        )
        plain = f"replace(regexp_replace({local}, '\\+.*$', ''), '.', '')"
        yield (
            "persons",
            to.make(
                "persons",
                f"""SELECT name, coalesce(nullif({plain}, ''), {local}) || '@' ||
                    CASE {domain} WHEN 'googlemail.com' THEN 'gmail.com' ELSE {domain} END AS person
                FROM (SELECT actor AS name FROM acts UNION SELECT proposed_by FROM acts) n WHERE strpos(name, '@') > 0""",
            ),
        )
    yield (
        "adjusted",
        to.make(
            "adjusted",
            """SELECT l.transaction_id AS thing, l.email, l.amount, l.place, a.audit_id, a.acted_at, a.actor, a.action, a.day,
                a.proposed_by, a.most
            FROM ledger l LEFT JOIN (
                SELECT subject, adjustment, audit_id, acted_at, actor, action, day, proposed_by, most,
                    row_number() OVER (PARTITION BY subject, adjustment ORDER BY acted_at, audit_id) AS nth
                FROM acts WHERE adjustment IS NOT NULL) a
                ON a.nth = 1 AND a.subject = l.email AND 'adjust#' || a.adjustment = l.transaction_id
            WHERE l.counts AND substr(l.transaction_id, 1, 7) = 'adjust#'""",
        ),
    )

    def newest(action: str) -> str:
        return f"""(SELECT subject, audit_id, day, row_number() OVER (PARTITION BY subject ORDER BY acted_at DESC, audit_id DESC) AS nth
            FROM acts WHERE action = '{action}')"""

    yield (
        "approved",
        to.make(
            "approved",
            f"""SELECT 'operator of the credited payment' AS what, p.payment_id AS thing, p.granted AS amount, a.audit_id, a.day
            FROM payments p LEFT JOIN {newest("payment.credit")} a ON a.nth = 1 AND a.subject = p.payment_id
            WHERE p.resolution = 'credited'
            UNION ALL SELECT 'operator of the code', c.code, c.worth, a.audit_id, a.day
            FROM (SELECT item.code.s AS code, {number("item.credits")} * {number("item.max_uses")} AS worth FROM redeemcodes_export) c
            LEFT JOIN {newest("code.create")} a ON a.nth = 1 AND a.subject = c.code""",
        ),
    )
    yield (
        "made",
        to.make(
            "made",
            """SELECT m.thing, m.amount AS moved, a.audit_id, a.acted_at, a.actor, a.day, a.amount, a.most, a.proposed_by, a.counted
            FROM (SELECT thing, amount, audit_id FROM adjusted WHERE day IS NOT NULL
                  UNION ALL SELECT thing, amount, audit_id FROM approved WHERE day IS NOT NULL
                  UNION ALL SELECT s.item.source.s, n.amount, n.audit_id FROM sales_export s
                    JOIN acts n ON n.subject = s.item.source.s AND n.action = 'sale.name' AND n.day IS NOT NULL) m
            JOIN acts a ON a.audit_id = m.audit_id""",
        ),
    )
    counted = "one.s" if to.name == "duckdb" else "s"
    columns = "t(one, nth)" if to.name == "duckdb" else "t(s, nth)"
    yield (
        "counts",
        to.make(
            "counts",
            f"""SELECT thing, audit_id, acted_at, day, most, moved, {counted} AS name, nth
            FROM made CROSS JOIN UNNEST(counted.l) WITH ORDINALITY AS {columns} WHERE proposed_by IS NULL""",
        ),
    )
    yield (
        "turns",
        to.make(
            "turns",
            """SELECT subject AS name, acted_at, action = 'admin.grant' AS becomes,
                row_number() OVER (PARTITION BY subject ORDER BY acted_at, action = 'admin.grant') AS nth
            FROM acts WHERE action IN ('admin.grant', 'admin.revoke')""",
        ),
    )
    early = f"{_moment('o.acted_at')} - INTERVAL '{CROSSING_MINUTES}' MINUTE"
    late = f"{_moment('o.acted_at')} + INTERVAL '{CROSSING_MINUTES}' MINUTE"
    yield (
        "operators_then",
        to.make(
            "operators_then",
            f"""SELECT o.name, o.acted_at,
                -- what held as the act may have begun, and whatever began to hold until it may have been booked
                coalesce(max(CASE WHEN {_moment("t.acted_at")} <= {early} THEN t.nth END), 0) AS ended,
                coalesce(max(CASE WHEN t.nth = 1 THEN (CASE WHEN t.becomes THEN 0 ELSE 1 END) END),
                    max(CASE WHEN a.role = 'admin' THEN 1 ELSE 0 END), 0) AS at_first,
                coalesce(max(CASE WHEN {_moment("t.acted_at")} > {early} AND {_moment("t.acted_at")} <= {late} AND t.becomes THEN 1 END), 0)
                    AS became
            FROM (SELECT DISTINCT name, acted_at FROM (SELECT actor AS name, acted_at FROM made UNION ALL SELECT proposed_by, acted_at FROM made) n
                  WHERE strpos(name, '@') > 0) o
            LEFT JOIN turns t ON t.name = o.name LEFT JOIN accounts a ON a.email = o.name
            GROUP BY o.name, o.acted_at""",
        ),
    )
    second = "'second operator of the proposal'"
    above = "'at most ' || CAST(most AS VARCHAR) || ' a day alone'"
    earlier = """SELECT thing, most, actor AS name, sum(abs(amount)) OVER (PARTITION BY email, actor, substr(acted_at, 1, 10)
            ORDER BY place ROWS UNBOUNDED PRECEDING) AS alone
        FROM adjusted WHERE audit_id IS NOT NULL AND day IS NULL AND action <> 'credits.approve'"""
    yield (
        "by_hand_findings",
        to.make(
            "by_hand_findings",
            f"""SELECT thing AS subject, 'operator of the adjustment' AS what, 'one in the audit log' AS expected, 'none' AS found,
                CAST(NULL AS VARCHAR) AS email FROM adjusted WHERE audit_id IS NULL
            UNION ALL SELECT thing, {second}, 'another than who proposed it', actor, CAST(NULL AS VARCHAR) FROM adjusted
                WHERE audit_id IS NOT NULL AND day IS NULL AND action = 'credits.approve' AND coalesce(proposed_by, actor) = actor
            UNION ALL SELECT thing, {second}, {above}, CAST(alone AS VARCHAR) || ' by ' || name, CAST(NULL AS VARCHAR)
                FROM ({earlier}) e WHERE alone > most
            UNION ALL SELECT thing, what, 'one in the audit log', 'none', CAST(NULL AS VARCHAR) FROM approved WHERE audit_id IS NULL
            UNION ALL SELECT s.item.source.s, 'operator of the name', 'one in the audit log', 'none', CAST(NULL AS VARCHAR)
                FROM sales_export s LEFT JOIN acts n ON n.subject = s.item.source.s AND n.action = 'sale.name'
                WHERE s.item.decision.s = 'ours' AND n.audit_id IS NULL
            UNION ALL SELECT thing, 'credits made by hand', coalesce(CAST(amount AS VARCHAR), 'None') || ' in the audit log',
                CAST(moved AS VARCHAR), CAST(NULL AS VARCHAR) FROM made WHERE amount IS NULL OR amount <> moved
            UNION ALL SELECT m.thing, 'operator of what was made by hand', 'an operator at that time', o.name, CAST(NULL AS VARCHAR)
                FROM made m JOIN operators_then o ON o.acted_at = m.acted_at AND (o.name = m.actor OR o.name = m.proposed_by)
                LEFT JOIN turns t ON t.name = o.name AND t.nth = o.ended
                WHERE o.became = 0 AND (CASE WHEN o.ended = 0 THEN o.at_first = 1 ELSE t.becomes END) = FALSE
            UNION ALL SELECT m.thing, {second}, 'another than who proposed it', m.actor, CAST(NULL AS VARCHAR) FROM made m
                LEFT JOIN persons p ON p.name = m.actor LEFT JOIN persons q ON q.name = m.proposed_by
                WHERE m.proposed_by IS NOT NULL AND (m.proposed_by = m.actor OR p.person = q.person)
            UNION ALL SELECT m.thing, 'count of what was made by hand', m.actor,
                coalesce({to.joined.format("array_agg(c.name ORDER BY c.nth)")}, 'nobody'), CAST(NULL AS VARCHAR)
                FROM made m LEFT JOIN counts c ON c.audit_id = m.audit_id WHERE m.proposed_by IS NULL
                GROUP BY m.thing, m.audit_id, m.actor
                HAVING count(CASE WHEN c.name IN (m.actor, '{COMMAND_LINE}') THEN 1 END) = 0
            UNION ALL SELECT thing, {second}, {above}, CAST(alone AS VARCHAR) || ' by ' || name, CAST(NULL AS VARCHAR)
                FROM (SELECT thing, most, name, sum(abs(moved)) OVER (PARTITION BY name, day ORDER BY acted_at, audit_id
                        ROWS UNBOUNDED PRECEDING) AS alone FROM counts) c WHERE alone > most""",
        ),
    )


def _moment(column: str) -> str:
    """A moment as it is stored: 2026-11-22T15:27:52.123456Z."""
    return f"CAST(replace(substr({column}, 1, 26), 'T', ' ') AS TIMESTAMP)"


def _all_findings() -> str:
    kinds = ("account", "task", "payment", "code", "figure", "by_hand")
    return " UNION ALL ".join(f"SELECT subject, what, expected, found, email FROM {kind}_findings" for kind in kinds)


def liability(at: datetime | None) -> str:
    """Credits owed to customers, and by them, at a moment: as `books.liability`. None: by all rows."""
    until = f"happened_at <= '{to_iso(at)}'" if at else "TRUE"
    return f"""SELECT count(*) AS accounts, coalesce(sum(CASE WHEN balance > 0 THEN balance END), 0) AS owed_to_customers,
            coalesce(-sum(CASE WHEN balance < 0 THEN balance END), 0) AS owed_by_customers
        FROM (SELECT l.email, sum(l.amount) AS balance FROM ledger l
              JOIN (SELECT email, max(coalesce(place, 0)) AS until FROM ledger WHERE {until} GROUP BY email) u ON u.email = l.email
              WHERE ({until.replace("happened_at", "l.happened_at")}) OR l.place < u.until GROUP BY l.email) b"""


ROLL_FORWARD = f"""SELECT month, coalesce(sum(net) OVER (ORDER BY month ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS opening,
    {", ".join(f'"{name}"' for name in FIGURE_NAMES)}, sum(net) OVER (ORDER BY month ROWS UNBOUNDED PRECEDING) AS closing
    FROM (SELECT substr(place, 1, 7) AS month, {", ".join(f'sum("{name}") AS "{name}"' for name in FIGURE_NAMES)},
        sum(sold - spent + given_back - refunded + refunds_undone - disputed + disputes_undone + added - taken + promotional
            + brought - brought_debt) AS net
        FROM counted GROUP BY substr(place, 1, 7)) m ORDER BY month"""


def unspent_statements(to: Dialect) -> Iterator[tuple[str, str]]:
    """What of each payment is unspent, first in first out: `books.unspent_by_payment`, after `statements`.

    Credits are a queue: what is left of a lot is what is left of all, less what came after it. What takes back a payment
    takes it from that payment's own lots first, as if they had been smaller from the beginning; so refunds and disputes
    of an account are looked at one after another, in ROUNDS rounds.
    """
    yield (
        "events",
        to.make(
            "events",
            """SELECT email, nth, source, lot, used, back, payment_id, is_purchase,
                sum(CASE WHEN back > 0 THEN 1 ELSE 0 END) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS turn
            FROM (SELECT email, coalesce(nullif(payment_id, ''), transaction_id) AS source, greatest(amount, 0) AS lot,
                CASE WHEN coalesce(payment_id, '') = '' THEN greatest(-amount, 0) ELSE 0 END AS used,
                CASE WHEN coalesce(payment_id, '') = '' THEN 0 ELSE greatest(-amount, 0) END AS back,
                nullif(payment_id, '') AS payment_id, type = 'purchase' AS is_purchase,
                row_number() OVER (PARTITION BY email ORDER BY listed_at, transaction_id) AS nth
            FROM ledger) e""",
        ),
    )
    some = "SELECT email FROM events WHERE back > 0"
    yield (
        "queue_0",
        to.make("queue_0", f"SELECT email, nth, source, lot, used, back, turn FROM events WHERE email IN ({some})"),
    )
    for turn in range(1, ROUNDS + 1):
        queue = f"queue_{turn - 1}"
        yield (
            f"queue_{turn}",
            to.make(
                f"queue_{turn}",
                f"""WITH claim AS (SELECT email, nth, source, back FROM {queue} WHERE back > 0 AND turn = {turn}),
                earlier AS (SELECT q.email, q.nth, q.source, q.lot, q.used, c.source AS claimed, c.back,
                        sum(q.lot - q.used) OVER (PARTITION BY q.email ORDER BY q.nth ROWS UNBOUNDED PRECEDING) AS run,
                        sum(q.lot) OVER (PARTITION BY q.email ORDER BY q.nth ROWS UNBOUNDED PRECEDING) AS arrived
                    FROM {queue} q JOIN claim c ON c.email = q.email AND q.nth < c.nth),
                level AS (SELECT email, sum(lot - used) - least(0, min(run)) AS level, sum(lot) AS every FROM earlier GROUP BY email),
                own AS (SELECT e.email, e.nth, e.back, least(e.lot, greatest(0, l.level - (l.every - e.arrived))) AS rest
                    FROM earlier e JOIN level l ON l.email = e.email WHERE e.source = e.claimed AND e.lot > 0),
                taken AS (SELECT email, nth, least(rest, greatest(0, back + rest - sum(rest)
                        OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING))) AS took FROM own),
                whole AS (SELECT email, sum(took) AS took FROM taken GROUP BY email)
                SELECT q.email, q.nth, q.source, q.lot - coalesce(t.took, 0) AS lot,
                    q.used + CASE WHEN c.nth IS NULL THEN 0 ELSE q.back - coalesce(w.took, 0) END AS used, q.back, q.turn
                FROM {queue} q LEFT JOIN taken t ON t.email = q.email AND t.nth = q.nth
                LEFT JOIN claim c ON c.email = q.email AND c.nth = q.nth LEFT JOIN whole w ON w.email = q.email""",
            ),
        )
    yield (
        "unspent",
        to.make(
            "unspent",
            f"""WITH every_lot AS (SELECT email, nth, source, lot, used, turn FROM queue_{ROUNDS}
                UNION ALL SELECT email, nth, source, lot, used, turn FROM events WHERE email NOT IN ({some})),
            run AS (SELECT email, nth, source, lot, used, turn,
                    sum(lot - used) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS run,
                    sum(lot) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS arrived FROM every_lot),
            level AS (SELECT email, sum(lot - used) - least(0, min(run)) AS level, sum(lot) AS every, max(turn) AS turns
                FROM run GROUP BY email),
            rest AS (SELECT r.email, r.source, sum(least(r.lot, greatest(0, l.level - (l.every - r.arrived)))) AS rest
                FROM run r JOIN level l ON l.email = r.email GROUP BY r.email, r.source)
            SELECT p.payment_id, p.email, CASE WHEN l.turns <= {ROUNDS} AND f.subject IS NULL THEN r.rest END AS unspent
            FROM (SELECT DISTINCT email, payment_id FROM events WHERE is_purchase AND payment_id IS NOT NULL) p
            JOIN level l ON l.email = p.email JOIN rest r ON r.email = p.email AND r.source = p.payment_id
            LEFT JOIN (SELECT DISTINCT subject FROM account_findings) f ON f.subject = p.email""",
        ),
    )


UNSPENT = "SELECT payment_id, email, unspent FROM unspent ORDER BY email, payment_id"
