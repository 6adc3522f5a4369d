"""The store: DynamoDB tables, their access patterns, and the transaction that everything is written through."""

from .store import Store

__all__ = ["Store"]
