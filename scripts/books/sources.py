"""The attributes that the rules of the books ask for, as they lie in an export of DynamoDB: one description, from which
DuckDB's columns and Athena's tables are made.

An export has a line for each item, `{"Item": {"email": {"S": "ada@example.com"}, …}}`: a value stands under the name of
its type. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from app.domain.ledger_figures import LedgerFigures

TEXT, NUMBER, BOOL = {"S": "text"}, {"N": "text"}, {"BOOL": "bool"}
ANY = {"N": "text", "S": "text", "BOOL": "bool"}  # where rows of the original product, or a fault, hold another type
AMOUNT = {"M": {"cents": NUMBER, "status": TEXT, "currency": TEXT, "told": NUMBER, "made": NUMBER, "undone": NUMBER}}
ACT = {
    "correction": TEXT,
    "day": TEXT,
    "amount": NUMBER,
    "limit": NUMBER,
    "proposed_by": TEXT,
    "counted": {"L": [TEXT]},
}

SOURCES: dict[str, dict[str, Any]] = {
    "Users": {
        "email": TEXT,
        "alias_of": TEXT,
        "credits_balance": ANY,
        "ledger_sequence": ANY,
        "folded_sequence": NUMBER,
        "role": TEXT,
    },
    "Transactions": {
        "transaction_id": TEXT,
        "user_email": TEXT,
        "type": TEXT,
        "amount": ANY,
        "timestamp": TEXT,
        "happened_at": TEXT,
        "description": TEXT,
        "balance_after": ANY,
        "sequence": ANY,
        "task_id": TEXT,
        "payment_id": TEXT,
        "stripe_payment_intent": TEXT,
        "cause": TEXT,
    },
    "Tasks": {
        "task_id": TEXT,
        "user_email": TEXT,
        "status": TEXT,
        "credits_spent": ANY,
        "original": BOOL,
        "version": NUMBER,
    },
    "Payments": {
        "payment_id": TEXT,
        "user_email": TEXT,
        "granted": ANY,
        "applied": ANY,
        "total_cents": ANY,
        "currency": TEXT,
        "resolution": TEXT,
        "charge_refunded_cents": NUMBER,
        "charge_refunded_currency": TEXT,
        "charge_refunded_told": NUMBER,
        "refunds": {"M": {"*": AMOUNT}},
        "disputes": {"M": {"*": AMOUNT}},
        "charged": {"M": {"*": NUMBER}},
    },
    "RedeemCodes": {"code": TEXT, "credits": NUMBER, "max_uses": NUMBER, "uses": NUMBER},
    "Audit": {"audit_id": TEXT, "at": TEXT, "actor": TEXT, "action": TEXT, "subject": TEXT, "after": {"M": ACT}},
    "Sales": {"source": TEXT, "decision": TEXT},
    "Figures": {"place": TEXT} | {field.name: NUMBER for field in fields(LedgerFigures)},
    "Status": {"name": TEXT, "finished_at": TEXT},
}


def duckdb_type(kind: Any) -> str:
    match kind:
        case "text":
            return "VARCHAR"
        case "bool":
            return "BOOLEAN"
        case [inner]:
            return f"{duckdb_type(inner)}[]"
        case {"*": inner}:
            return f"MAP(VARCHAR, {duckdb_type(inner)})"
    return f"STRUCT({', '.join(f'{_quoted(name)} {duckdb_type(inner)}' for name, inner in kind.items())})"


def athena_type(kind: Any) -> str:
    """In the words of Hive, which Athena's tables are described in."""
    match kind:
        case "text":
            return "string"
        case "bool":
            return "boolean"
        case [inner]:
            return f"array<{athena_type(inner)}>"
        case {"*": inner}:
            return f"map<string,{athena_type(inner)}>"
    return f"struct<{','.join(f'`{name.lower()}`:{athena_type(inner)}' for name, inner in kind.items())}>"


def _quoted(name: str) -> str:
    return f'"{name}"'
