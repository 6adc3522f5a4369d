"""A stand-in for Stripe on this machine: it speaks Stripe's API and sends signed webhooks, and no money moves."""
