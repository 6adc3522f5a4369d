"""`python -m impacteragi` is the command line."""

from .cli import main

main()
