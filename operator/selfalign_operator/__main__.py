"""Lets `python -m selfalign_operator` do what `selfalign` does."""

from selfalign_operator.cli.app import main

main()
