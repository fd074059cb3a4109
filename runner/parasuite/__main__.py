"""`python -m parasuite`."""

from parasuite.cli import main

main()
