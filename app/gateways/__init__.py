"""Adapters to the services outside this process: the only modules that import their client libraries."""
