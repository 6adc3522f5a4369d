"""Tests of what runs on one machine: the stand-in for Stripe, local AWS, the supervisor."""
