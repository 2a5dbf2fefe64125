"""`python -m` the package is the same as its console script."""

from .entrypoints.cli import main

main()
