"""The rules of the product as pure code: no framework, no store, no clock of its own."""
