"""The views, one blueprint a file: who, parse, act, show."""
