"""Commands of this repository; see docs/operating.md."""
