"""Entry point of `python -m selfalign_operator`, the same as the console script `selfalign`."""

from selfalign_operator.cli.app import main

main()
