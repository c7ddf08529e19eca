"""``python -m fedlora``: the command line."""

from fedlora.cli.main import main

main()
