"""Backups: exports of every table in DynamoDB's own format, whether they are whole, and the way back."""
