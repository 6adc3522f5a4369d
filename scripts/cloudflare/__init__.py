"""Cloudflare in front of the dashboard: its settings over its API, and an operator's pass in maintenance."""
