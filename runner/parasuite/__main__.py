"""`python -m parasuite`."""

from parasuite.cli.main import main

main()
